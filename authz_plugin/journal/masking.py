"""Removes secrets from the texts of denials.

The shipped rules never quote the value of a secret field. This module also covers an operator's own
rules, and secrets inside values that rules do quote (a URL with a password, options of a volume).
"""

from __future__ import annotations

import re
from typing import Final

from authz_plugin.decision import Denial

HIDDEN: Final = "***"

_SECRET_FIELD: Final = re.compile(
    r"(?:^|[.\[])(?:Env|EnvFile|Data|JoinToken|JoinTokens|UnlockKey|SigningCACert|SigningCAKey"
    r"|Password|RegistryToken|IdentityToken"
    r"|buildargs|changes|(?:proxy-)?authorization|cookie|x-registry-(?:auth|config))(?:$|[.\[])",
    re.IGNORECASE,
)
_CLIENT_TEXT: Final = re.compile(
    r"^body\.\[\]$"  # settings of plugins: NAME=value
    r"|(?:^|\.)(?:Args|Cmd|Command|Config|DriverOpts|Entrypoint|Options|Opts|Shell|Test)(?:$|[.\[])"
)
"""Places of command lines, and of options that clients choose."""

_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z0-9+.-]://)(?:[^/\s@:]*:\S{0,2048}|[^/\s@]*)@", re.IGNORECASE
)
"""A user and perhaps a password, which may contain ``/`` and ``@`` if a client did not encode
them."""

_ASSIGNMENT: Final = re.compile(
    r"(?P<name>(?:pass|passwd|password|passphrase|secret|token|credentials?|auth|key)"
    r"\s?=\s?)[^\s&,;]+",
    re.IGNORECASE,
)
_PASSWORD_HASH: Final = re.compile(r"\$(?:apr1|2[abxy]|[1567]|y|argon2\w{1,2})\$\S+")
_SWARM: Final = re.compile(r"SWM(?:TKN|KEY)-[\w-]+")


def masked(denial: Denial) -> Denial:
    """A denial with secrets masked in its field and texts; its value is unchanged."""
    texts = [denial.message, denial.hint, denial.detail]
    if _SECRET_FIELD.search(denial.field) and denial.value is not None:
        for secret in _parts(str(denial.value)):
            texts = [text.replace(secret, HIDDEN) for text in texts]
    message, hint, detail = map(masked_text, texts)
    return denial._replace(
        field=masked_text(denial.field), message=message, hint=hint, detail=detail
    )


def may_hold_secret(place: str) -> bool:
    """Whether the text at a place of a request may be a secret, whatever rules compare there.

    ``place`` is ``body.PATH``, ``query.NAME`` or the name of a fact.
    """
    return bool(_SECRET_FIELD.search(place) or _CLIENT_TEXT.search(place))


def masked_text(text: str) -> str:
    """A text with secrets masked that have a known form: ``https://u:p@h``, ``password=x``."""
    if "@" in text:
        text = _ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text:
        text = _ASSIGNMENT.sub(rf"\g<name>{HIDDEN}", text)
    if "$" in text:
        text = _PASSWORD_HASH.sub(HIDDEN, text)
    return _SWARM.sub(HIDDEN, text) if "SWM" in text else text


def _parts(value: str) -> list[str]:
    """The secret parts of a value: the whole, and of ``NAME=value`` the part after ``=``."""
    return [part for part in (value, value.partition("=")[2]) if part]
