"""Tries a request: the policy in force decides on it in the sandbox, and no daemon receives it.

A request is given as options of ``docker run`` or as method, path and body. Nothing of it is run,
opened or sent: the sandbox reads it as the plugin does, which looks at the host's paths that it
names for symbolic links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from authz_plugin.decision import visible
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.errors import EngineError, SetupError
from authz_plugin.journal.masking import masked_text
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.console.reasoning import Reasoned, reasoned, text
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation.reasons import Explainer
from authz_plugin.tools.sandbox import Sandbox
from authz_plugin.tools.validation.expected_policy import allows_operation

MAX_BODY: Final = 256 << 10
"""Bytes of a body."""

MAX_PATH: Final = 8 << 10
"""Characters of a path with its query."""

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "HEAD")

_MAX_USER: Final = 256
_PATH: Final = re.compile(r"/[!-~]*")
_FOLLOWING: Final = ("container.attach", "container.wait", "container.start")
"""What ``docker run`` asks for after it has created the container."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the TLS user ``user``, or a caller of the role ``role``; a caller of whom dockerd
    knows nothing if both are empty."""

    user: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """A tried request.

    ``title`` is its method and path, ``body`` its body as text, with secrets of a known form
    masked. ``reasoned`` is the decision. ``following`` are the operations that ``docker run`` asks
    for after a create, and whether the caller may; empty for other requests.
    """

    title: str
    body: str
    reasoned: Reasoned
    following: Sequence[tuple[str, bool]]


def raw_request(method: str, path: str, body: str) -> Request:
    """Return a request to try; a body is sent as JSON. Raises ``SetupError`` if it is none."""
    if method not in METHODS:
        raise SetupError(f"the method must be one of {', '.join(METHODS)}")
    if len(path) > MAX_PATH or not _PATH.fullmatch(path):
        raise SetupError(
            f"the path must begin with / and have at most {MAX_PATH} characters of ASCII without "
            "blanks; write others as %XX"
        )
    content = body.strip().encode(errors="surrogatepass")
    if len(content) > MAX_BODY:
        raise SetupError(f"the body must have at most {MAX_BODY >> 10} KiB")
    headers = (("Content-Type", "application/json"),) if content else ()
    return Request(method, path, headers, content)


def tried(
    sandbox: Sandbox,
    explainer: Explainer,
    request: Request,
    asker: Asker,
    granted: Sequence[str] = (),
) -> Trial:
    """Try a request, which ``raw_request`` or ``run_options.create_request`` has made.

    ``granted`` are names of withheld changes to show. Raises ``SetupError`` for a caller that
    cannot be tried.
    """
    if asker.role:
        sandbox = _for_role(sandbox, asker)
    if len(asker.user) > _MAX_USER:
        raise SetupError(f"the name of the caller must have at most {_MAX_USER} characters")
    message = authz_message(request, Client(asker.user))
    found = reasoned(sandbox, explainer, message, granted)
    if asker.role and found.facts is not None and found.role != asker.role:
        raise SetupError(
            f"a caller without a name has role {found.role or 'none'} here, whatever its default: "
            f"give the name of a caller of role {asker.role}"
        )
    config = _config(sandbox, message) if found.operation == "container.create" else None
    return Trial(
        title=text(f"{request.method} {request.target}"),
        body=_shown(request.body),
        reasoned=found,
        following=[]
        if config is None
        else [(id_, allows_operation(config, OPERATIONS[id_])) for id_ in _FOLLOWING],
    )


def _for_role(sandbox: Sandbox, asker: Asker) -> Sandbox:
    """The sandbox with a default role, which is that of callers without name and certificate."""
    if asker.user:
        raise SetupError("give a name or a role: the policy knows the role of a name")
    if asker.role not in sandbox.config["roles"]:
        raise SetupError(f"{text(asker.role)} is no role of the policy")
    given = {**sandbox.settings.policy, "default_role": asker.role}
    found = copy(sandbox)
    found.settings = sandbox.settings._replace(policy=given)
    found.config = sandbox.configured(given)
    return found


def _config(sandbox: Sandbox, message: bytes) -> Any:
    """The configuration for the caller of a request, None if there is no decision on it."""
    _, document = sandbox.read(message)
    try:
        return None if document is None else sandbox.config_for(document)
    except EngineError:
        return None


def _shown(body: bytes) -> str:
    """A body as lines, of JSON if it is that, with secrets masked."""
    try:
        content = json.dumps(json.loads(body), indent=2) if body else ""
    except (ValueError, RecursionError):
        content = body.decode(errors="replace")
    return "\n".join(visible(masked_text(line)) for line in content.splitlines())
