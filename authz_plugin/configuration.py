"""The policy configuration in force: a profile, the operator's changes, roles and exceptions.

Everything that does not depend on a request is computed here once: profiles and roles are merged,
symbolic links are resolved, dates become times. The rules then only compare values.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_plugin.dockerd import images
from authz_plugin.dockerd.mounts import clean
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.errors import SettingsError, raise_faults
from authz_plugin.hostpaths import GUARDED, GUARDED_PREFIXES, SHIPPED, HostPaths
from authz_plugin.rules import RULES
from authz_plugin.settings import (
    DEFAULT_PROFILE,
    Key,
    KeyOrigins,
    Settings,
    read_yaml,
    show,
    suggest,
    validate,
    without_required,
)

ROOT: Final = Path("docker/authz")
"""The folder of the policies in a bundle, which corresponds to the package ``docker.authz``."""

WARNED_BEFORE: Final = timedelta(days=14)
"""The time before the end of an exception in which decisions warn about it."""

_RULE_ID: Final = re.compile(r"^#\s+id:\s+(\S+)$", re.MULTILINE)
"""The id in the METADATA of one of the operator's own rules."""

_SIZE: Final = re.compile(r"(\d+)([kmg])")
_UNITS: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_FOR_ALL: Final = frozenset(
    {"roles", "role_order", "default_role", "unmatched_callers", "exceptions"}
)
_NOT_OF_PROFILE: Final = _FOR_ALL | {"profile"}

CHANGED: Final = ", changed"
"""What follows the profile in the name of a configuration that changes it."""


_GUARDED: Final = (*GUARDED, str(SHIPPED), str(Path(__file__).parent))


_MADE_PROFILES: Final = Path(__file__).with_name("profiles.json")


class Exemption(NamedTuple):
    """An exception in a form for messages.

    ``days`` are the whole days until it ends, below 0 if it has ended; ``ending`` is true if it has
    ended or ends within ``WARNED_BEFORE``.
    """

    rule: str
    what: str
    whom: str
    expires: str
    days: int
    ending: bool
    reason: str

    def __str__(self) -> str:
        state = f"{self.days} days left" if self.days >= 0 else "over"
        until = f"until {self.expires} ({state})"
        return f"{self.rule} {self.what} for {self.whom}: {until}, {self.reason}"


def config_schema() -> dict[str, Any]:
    """The JSON schema of the policy configuration."""
    schema: dict[str, Any] = json.loads((SHIPPED / "schemas/config.json").read_text())
    return schema


def profiles() -> list[str]:
    """The names of the shipped profiles."""
    return sorted(file.stem for file in (SHIPPED / "profiles").glob("*.yaml"))


@cache
def _profile(name: str) -> Mapping[str, Any]:
    profile, origins = _read_profile(_profile_file(name))
    base = profile.pop("extends", None)
    validate(profile, without_required(config_schema()), origins)
    return profile if base is None else _merged(_profile(base), profile)


def _read_profile(file: Path) -> tuple[dict[str, Any], KeyOrigins]:
    """The content of a profile's file. It is taken from ``profiles.json`` if the file is as it was
    when that was made, because YAML takes most of a start to read."""
    made = json.loads(_MADE_PROFILES.read_bytes()) if _MADE_PROFILES.is_file() else {}
    kept = made.get(file.stem)
    if kept is None or kept["sha256"] != hashlib.sha256(file.read_bytes()).hexdigest():
        return read_yaml(file)
    return kept["content"], KeyOrigins(str(file))


def made_profiles() -> dict[str, Any]:
    """The content of ``profiles.json``: of each shipped profile, the file's hash and content."""
    return {
        name: {
            "sha256": hashlib.sha256(_profile_file(name).read_bytes()).hexdigest(),
            "content": read_yaml(_profile_file(name))[0],
        }
        for name in profiles()
    }


def rule_ids(folder: Path | None = None) -> frozenset[str]:
    """The ids of the shipped rules, or of the operator's own rules in a folder."""
    if folder is None:
        return frozenset(RULES)
    files = folder.rglob("*.rego")
    return frozenset(id_ for file in files for id_ in _RULE_ID.findall(file.read_text()))


def configuration(settings: Settings, host_paths: HostPaths) -> dict[str, Any]:
    """The policy configuration in force: a profile with the operator's changes.

    Mappings are merged, other values are replaced. A role is based on its own profile, or else on
    the configuration outside of roles, with the role's changes. ``profile`` becomes the name of the
    configuration: ``production`` only if nothing of that profile is changed, otherwise
    ``production, changed``. Raises ``SettingsError`` for values
    that the schema refuses and for an unknown profile, operation, rule or role.
    """
    given, origins = settings.policy, settings.origins
    raise_faults(
        SettingsError(origins.of(key), show(key), message) for key, message in _name_faults(given)
    )
    name = given.get("profile", DEFAULT_PROFILE)
    changed = {**_merged(_profile(name), given), "profile": name}
    guarded = _guarded(settings, host_paths)
    config = {
        **_completed(changed, guarded, host_paths),
        "roles": {role: _role(changed, role, guarded, host_paths) for role in changed["roles"]},
        "role_order": list(changed["roles"]),
        "exceptions": [
            _exception(exception, i, origins) for i, exception in enumerate(changed["exceptions"])
        ],
    }
    try:
        validate(config, config_schema(), origins)
    except SettingsError:
        complete_profile(name, host_paths)  # raises if the fault is in a file of the profile
        raise
    return config


def complete_profile(name: str, host_paths: HostPaths) -> dict[str, Any]:
    """The configuration of a profile without changes of an operator.

    Raises ``SettingsError`` if the schema refuses it. The error names the file of the profile that
    the others extend, because a required key can only be missing there.
    """
    profile = {**_profile(name), "profile": name, "role_order": []}
    guarded = {"paths": sorted(GUARDED), "prefixes": list(GUARDED_PREFIXES)}
    origins = KeyOrigins(str(_profile_file(_root(name))))
    for key, message in _name_faults(profile):
        raise SettingsError(origins.of(key), show(key), message)
    completed = _completed(profile, guarded, host_paths)
    validate(completed, config_schema(), origins)
    return completed


def _profile_file(name: str) -> Path:
    return SHIPPED / "profiles" / f"{name}.yaml"


@cache
def _root(name: str) -> str:
    """The last profile in the chain of ``extends`` that begins at a profile."""
    base = _read_profile(_profile_file(name))[0].get("extends")
    return name if base is None else _root(base)


def _role(
    config: Mapping[str, Any],
    name: str,
    guarded: Mapping[str, Any],
    host_paths: HostPaths,
) -> dict[str, Any]:
    role = config["roles"][name]
    profile = role.get("profile")
    base = config if profile is None else {**_profile(profile), "profile": profile}
    own = {key: value for key, value in base.items() if key not in _FOR_ALL | {"ping"}}
    return _completed(_merged(own, role), guarded, host_paths)


def _completed(
    config: Mapping[str, Any], guarded: Mapping[str, Any], host_paths: HostPaths
) -> dict[str, Any]:
    """A configuration in the form that rules compare: paths resolved, sizes in bytes, image
    patterns with registries."""
    unprotected_paths = config["guard"]["unprotected_paths"]
    left = {
        key: [path for path in guarded[key] if path not in unprotected_paths]
        for key in ("paths", "prefixes")
    }
    resources, images, plugins = config["resources"], config["images"], config["plugins"]
    labels = config["labels"]
    return {
        **config,
        "profile": _title(config),
        "mounts": _with_resolved_paths(config["mounts"], host_paths),
        "resources": {
            **resources,
            "max": {name: _bytes(value) for name, value in resources["max"].items()},
        },
        "images": {
            **images,
            **{key: [_image(text) for text in images[key]] for key in ("allow", "names", "push")},
        },
        "labels": {**labels, "reserved_folded": [name.casefold() for name in labels["reserved"]]},
        "plugins": {**plugins, "install": [_image(text) for text in plugins["install"]]},
        "guard": {
            "unprotected_paths": unprotected_paths,
            **left,
            "places": [*map(_inside, left["paths"]), *left["prefixes"]],
        },
    }


def _title(config: Mapping[str, Any]) -> str:
    """The name of a configuration for denials, records and messages. Roles and exceptions change
    nothing of the profile: a record names the role, and a list the exceptions."""
    name: str = config["profile"]
    kept = ((key, value) for key, value in _profile(name).items() if key not in _NOT_OF_PROFILE)
    return name if all(config.get(key, value) == value for key, value in kept) else name + CHANGED


def without_host(config: Mapping[str, Any]) -> dict[str, Any]:
    """A complete configuration without what depends on the host: where this plugin is installed and
    started (the guarded paths), and what links among the paths of ``mounts`` lead to."""
    mounts = config["mounts"]
    written = {
        **config,
        "guard": {"unprotected_paths": config["guard"]["unprotected_paths"]},
        "mounts": {
            **{key: value for key, value in mounts.items() if not key.startswith("deny_")},
            "allow": [
                {key: value for key, value in root.items() if not key.startswith("resolved")}
                for root in mounts["allow"]
            ],
            "deny": [path for path in mounts["deny"] if path not in mounts["deny_links"]],
        },
    }
    roles = {name: without_host(role) for name, role in config.get("roles", {}).items()}
    return {**written, "roles": roles} if roles else written


def _with_resolved_paths(mounts: Mapping[str, Any], host_paths: HostPaths) -> dict[str, Any]:
    """The settings of mounts with cleaned paths, and with the resolved path of each."""

    def resolved(path: str) -> str | None:
        return host_paths.resolve(path).resolved

    def complete(root: Mapping[str, Any]) -> Mapping[str, Any]:
        if "path" not in root:
            return root  # the schema refuses it later
        path = clean(root["path"]) or root["path"]
        target = resolved(path)
        return {
            "read_only": False,
            **root,
            "path": path,
            "inside": _inside(path),
            "resolved": target,
            "resolved_inside": None if target is None else _inside(target),
        }

    roots = [complete(root) for root in mounts["allow"]]
    denied = {clean(path) or path for path in mounts["deny"]}
    links = {target for path in denied if (target := resolved(path)) is not None} - denied
    deny = sorted(denied | links)
    return {
        **mounts,
        "allow": roots,
        "deny": deny,
        "deny_inside": [*map(_inside, deny)],
        "deny_links": sorted(links),
    }


def _inside(path: str) -> str:
    """The beginning of every path that lies inside of a path. Rules compare with it, so that they
    need not make it for each pair of paths."""
    return f"{path.removesuffix('/')}/"


def _guarded(settings: Settings, host_paths: HostPaths) -> dict[str, list[str]]:
    """The paths whose mount would allow disabling the plugin, as given and resolved."""
    paths = {*_GUARDED, str(settings.server.socket)}
    fleet = None if settings.fleet is None else settings.fleet.folder
    paths |= {str(path.absolute()) for path in (settings.file, settings.policies, fleet) if path}
    cleaned = {clean(path) or path for path in paths}
    resolved = {host_paths.resolve(path).resolved for path in cleaned}
    return {
        "paths": sorted(cleaned | {path for path in resolved if path is not None}),
        "prefixes": list(GUARDED_PREFIXES),
    }


def _bytes(value: Any) -> Any:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else int(found[1]) * _UNITS[found[2]]


def _image(text: str) -> str:
    """A pattern of images with its registry, as in input documents. A tag beside a digest is
    removed, because dockerd ignores it."""
    name, at, digest = text.partition("@")
    if at and ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    host, slash, rest = name.partition("/")
    if text == "*" or (slash and "*" in host):
        return f"{host.lower()}{slash}{rest}{at}{digest}"
    registry, repository = images.split(name)
    if repository == f"library/{rest}" and "*" in rest.partition(":")[0]:
        repository = rest  # docker.io/* is every repository of the registry
    return f"{registry}/{repository}{at}{digest}"


def _exception(exception: Any, position: int, origins: KeyOrigins) -> Any:
    """An exception with the time of its end and the time of the first warning."""
    if not isinstance(exception, Mapping) or not isinstance(exception.get("expires"), str):
        return exception  # the schema refuses it later
    try:
        last = date.fromisoformat(exception["expires"])
    except ValueError:
        key = ("exceptions", position, "expires")
        raise SettingsError(origins.of(key), show(key), "is no date like 2027-01-31") from None
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    when = exception.get("when")
    if isinstance(when, Mapping) and isinstance(when.get("image"), str):
        when = {**when, "image": _image(when["image"])}
    return {
        **exception,
        "when": when,
        "until": end.isoformat(),
        "warn_from": (end - WARNED_BEFORE).isoformat(),
    }


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = value
    return merged


_Fault = tuple[Key, str]
"""A key of the configuration, and what is wrong there."""


def _name_faults(given: Mapping[str, Any]) -> Iterator[_Fault]:
    """The names in a configuration that nothing has: of profiles, operations, rules and roles."""
    yield from _unknown(given, ())
    roles = given.get("roles", {})
    for name, role in roles.items():
        yield from _unknown(role, ("roles", name))
    named: list[tuple[Key, str]] = []
    for i, exception in enumerate(given.get("exceptions", ())):
        yield from _unknown_name(exception.get("rule"), rule_ids(), ("exceptions", i, "rule"))
        when = exception.get("when")
        if isinstance(when, Mapping) and "role" in when:
            named.append((("exceptions", i, "when", "role"), when["role"]))
    if given.get("default_role") is not None:
        named.append((("default_role",), given["default_role"]))
    for key, role in named:
        if role not in roles:
            yield key, f"must be one of the roles: {', '.join(roles) or 'none is set'}"


def _unknown(given: Mapping[str, Any], prefix: Key) -> Iterator[_Fault]:
    """The unknown names in a configuration, apart from its roles and exceptions."""
    profile = given.get("profile")
    if profile is not None and profile not in profiles():
        yield (*prefix, "profile"), f"{profile} is not known{suggest(profile, profiles())}"
    for key, known in (("operations", OPERATIONS), ("rules", rule_ids())):
        for name in given.get(key, ()):
            yield from _unknown_name(name, known, (*prefix, key, name))


def _unknown_name(name: str | None, known: Collection[str], key: Key) -> Iterator[_Fault]:
    if name is not None and name not in known and not name.startswith("custom."):
        close = difflib.get_close_matches(name, known, n=1)
        page = "docs/reference/operations.md" if known is OPERATIONS else "docs/reference/rules"
        hint = f", did you mean {close[0]}?" if close else f"; {page} lists them"
        yield key, f"{name} is not known{hint}"


def exceptions(config: Mapping[str, Any], now: datetime) -> list[Exemption]:
    """The exceptions of a configuration, ordered by their end."""
    made = [
        Exemption(
            rule=exception["rule"],
            what=str(exception.get("value", exception.get("field"))),
            whom=", ".join(f"{key} {name}" for key, name in exception["when"].items()),
            expires=exception["expires"],
            days=(datetime.fromisoformat(exception["until"]) - now).days,
            ending=now >= datetime.fromisoformat(exception["warn_from"]),
            reason=exception["reason"],
        )
        for exception in config["exceptions"]
    ]
    return sorted(made, key=lambda exemption: (exemption.expires, exemption.rule))
