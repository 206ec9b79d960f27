"""The policy of a fleet: a configuration and own rules, as they travel in a bundle of OPA.

The bundle is data alone, under ``docker/authz/fleet``. The rules are texts in it, because only the
plugin has the library that they are compiled with. Each host completes the configuration and
compiles the rules with the policies of its own version, as it does with local files.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_plugin import __version__, renamed
from authz_plugin.errors import PolicyError, SetupError
from authz_plugin.hostpaths import check_private
from authz_plugin.settings import KeyOrigins, Settings

ROOT: Final = "docker/authz/fleet"
"""The only root of such a bundle."""

FORMATS: Final = range(1, 2)
"""The formats of fleet bundles that this version reads; it writes the last one."""

SIZE_LIMIT: Final = 1 << 20
"""The maximum length of the policy as JSON, in bytes."""

_RULES_FILE: Final = re.compile(r"([a-z0-9_]+/)*[a-z0-9_]+\.rego")
_VERSION: Final = re.compile(r"\d+(\.\d+){0,2}")
_CURRENT: Final = "current"
_POLICY: Final = "policy.json"
_RULES: Final = "rules"


class FleetPolicy(NamedTuple):
    """A policy as it was built.

    ``revision`` is that of the policy at the builder, ``built`` the time of the build; together
    they identify a bundle. ``made_by`` is the builder's version and ``at_least`` the oldest version
    of the plugin that may serve the policy. ``configuration`` has the keys of a settings file,
    ``rules`` maps the paths of Rego files to their texts.
    """

    revision: str
    built: datetime
    configuration: Mapping[str, Any]
    rules: Mapping[str, str]
    at_least: str = "0"
    made_by: str = __version__
    format: int = FORMATS[-1]

    @property
    def about(self) -> dict[str, Any]:
        """What tells this policy from others; OPA is asked for it often, so it is short."""
        return {"revision": self.revision, "built": self.built.isoformat()}

    def to_document(self) -> dict[str, Any]:
        """The data at ``ROOT``; ``read`` is the inverse."""
        return {
            "about": self.about,
            "format": self.format,
            "made_by": self.made_by,
            "at_least": self.at_least,
            "configuration": self.configuration,
            "rules": self.rules,
        }


def advice(policy: FleetPolicy) -> str:
    """What may help if a policy cannot be put in force, for the end of a message; empty if it was
    not built by a newer version."""
    try:
        is_newer = _version(policy.made_by) > _version(__version__)
    except PolicyError:
        is_newer = True
    if not is_newer:
        return ""
    return (
        f" (it was built with opa-authz {policy.made_by}, and this is {__version__}: update this "
        f"host, or build it with what {__version__} knows)"
    )


def read(document: Any) -> FleetPolicy:
    """Read the data of a bundle; raises ``PolicyError`` if this version cannot serve it."""
    if not isinstance(document, Mapping) or not isinstance(document.get("format"), int):
        raise PolicyError("the bundle has no policy of a fleet: build it with --fleet")
    if document["format"] not in FORMATS:
        raise PolicyError(
            f"the bundle has format {document['format']}, and opa-authz {__version__} reads "
            f"{' to '.join(map(str, sorted({FORMATS[0], FORMATS[-1]})))}: "
            f"{'build it again' if document['format'] < FORMATS[0] else 'update the plugin'}"
        )
    try:
        found = FleetPolicy(
            revision=_text(document["about"]["revision"]),
            built=datetime.fromisoformat(document["about"]["built"]),
            configuration=document["configuration"],
            rules=document["rules"],
            at_least=_text(document["at_least"]),
            made_by=_text(document["made_by"]),
            format=document["format"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PolicyError(f"the bundle is incomplete: {error!r}") from error
    _check(found)
    return found


def made_of(settings: Settings, revision: str, at_least: str, now: datetime) -> FleetPolicy:
    """The policy of settings, with their own rules; raises ``PolicyError``."""
    rules = {}
    if settings.policies is not None:
        for file in sorted(settings.policies.rglob("*.rego")):
            if not file.name.endswith("_test.rego"):
                rules[str(file.relative_to(settings.policies))] = file.read_text()
    made = FleetPolicy(
        revision, now.astimezone(UTC), json.loads(json.dumps(settings.policy)), rules, at_least
    )
    _check(made)
    size = len(json.dumps(made.to_document()))
    if size > SIZE_LIMIT:
        raise PolicyError(f"the policy has {size} bytes, and at most {SIZE_LIMIT} can be fetched")
    return made


def kept_policy(folder: Path, key: bytes) -> tuple[FleetPolicy, Path] | None:
    """The policy that ``keep`` has kept in a folder, and the folder of its rules; None if there is
    none.

    A policy that was signed by another key does not count: its key was replaced, perhaps because it
    is in other hands. Raises ``SetupError`` if it cannot be read, or if another user can change it.
    """
    home = folder / _CURRENT
    try:
        for private in (folder, home):
            check_private(private.stat())
        content = json.loads((home / _POLICY).read_bytes())
        if content["key"] != _digest(key):
            return None
        return read(content["policy"]), home / _RULES
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{home / _POLICY} cannot be read: {error}") from error


def write_rules(policy: FleetPolicy, folder: Path) -> None:
    """Write the rules into a folder, which is emptied before; raises ``OSError``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    for name, text in policy.rules.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def keep(policy: FleetPolicy, folder: Path, key: bytes) -> Path:
    """Keep a policy that is in force, for the time without the service; return its rules' folder.

    ``key`` is the public key that its bundle was verified with. The policy that was kept before
    stays if this fails. Raises ``OSError``.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_private(folder.stat())
    home = Path(tempfile.mkdtemp(prefix="policy-", dir=folder))
    try:
        write_rules(policy, home / _RULES)
        content = {"key": _digest(key), "policy": policy.to_document()}
        (home / _POLICY).write_text(json.dumps(content))
        new = folder / f"{_CURRENT}.new"
        new.unlink(missing_ok=True)
        new.symlink_to(home.name)
        new.replace(folder / _CURRENT)
    except OSError:
        shutil.rmtree(home, ignore_errors=True)
        raise
    for other in folder.glob("policy-*"):
        if other != home:
            shutil.rmtree(other, ignore_errors=True)
    return folder / _CURRENT / _RULES


def with_fleet_policy(settings: Settings, policy: FleetPolicy, rules: Path) -> Settings:
    """The settings of a host with the policy of the fleet, whose rules are in a folder.

    An older version may have built it: its old names are replaced by the present ones, and
    ``warnings`` has a text for each. Raises ``SettingsError`` if both names of a key are given.
    """
    place = f"the bundle of revision {policy.revision}"
    origins = KeyOrigins(place)
    configuration, warnings = renamed.accept_settings(policy.configuration, origins)
    in_rules = (
        warning
        for name, text in sorted(policy.rules.items())
        for warning in renamed.in_rego(f"{place}: {name}", text)
    )
    return settings._replace(
        policy=configuration,
        policies=rules if policy.rules else None,
        origins=origins,
        warnings=(*warnings, *in_rules),
    )


def _check(policy: FleetPolicy) -> None:
    if not isinstance(policy.configuration, Mapping) or not isinstance(policy.rules, Mapping):
        raise PolicyError("the bundle is incomplete: configuration and rules are mappings")
    for name, text in policy.rules.items():
        if not _RULES_FILE.fullmatch(name) or not isinstance(text, str):
            raise PolicyError(
                f"{name} cannot be in a bundle: files have names like limits/memory.rego"
            )
    if policy.built.tzinfo is None:
        raise PolicyError("the bundle is incomplete: the time of its build has no zone")
    if _version(policy.at_least) > _version(__version__):
        raise PolicyError(
            f"the bundle needs opa-authz {policy.at_least}, and this is {__version__}: update it"
        )


def _version(text: str) -> tuple[int, ...]:
    """A version for comparison; raises ``PolicyError`` for what is none."""
    if not _VERSION.fullmatch(text):
        raise PolicyError(f"{text} is no version like 1.2.0")
    return (*map(int, text.split(".")), 0, 0)[:3]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no text")
    return value


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()
