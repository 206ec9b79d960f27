"""The policy that is expected of a configuration, derived from it without OPA.

A second implementation on purpose: it shares no code with the rules, so that a rule that does not
do what the configuration says is found. It can allow more than the rules, which read more facts,
and never less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from authz_plugin.dockerd.mounts import clean
from authz_plugin.dockerd.routes import Operation

Config = Mapping[str, Any]
"""A complete policy configuration, or that of a role."""


def allows_operation(config: Config, operation: Operation) -> bool:
    """Return whether ``operations`` or ``sections`` allow an operation."""
    named = config["operations"].get(operation.id)
    if named is not None:
        return bool(named == "allow")
    section = config["sections"].get(operation.section, "none")
    return section == "write" or (section == "read" and operation.access == "read")


def allows_namespace(config: Config, kind: str, whose: str) -> bool:
    """Return whether a ``kind`` of namespace (``"pid"``) of ``whose`` can be joined.

    ``whose`` is ``"host"`` or ``"container"``.
    """
    return bool({kind, f"{kind}:{whose}"} & set(config["namespaces"]["allow"]))


def allows_capability(config: Config, name: str) -> bool:
    """Return whether a capability (``"SYS_ADMIN"``, ``"ALL"``) can be added."""
    return bool({name, "ALL"} & set(config["capabilities"]["allow"]))


def allows_security_option(config: Config, name: str, value: str) -> bool:
    """Return whether a security option (``"seccomp"``, ``"unconfined"``) can be set."""
    return matches_any(config["security_options"]["allow"].get(name, []), value)


def allows_bind_mount(config: Config, path: str, *, read_only: bool = False) -> bool:
    """Return whether a host path can be bind-mounted, without resolving symbolic links."""
    mounts = config["mounts"]
    path = clean(path) or path
    if "bind" not in mounts["types"] or overlaps_denied_path(config, path):
        return False
    return any(
        is_within(path, root["path"]) and (read_only or not root.get("read_only"))
        for root in mounts["allow"]
    )


def overlaps_denied_path(config: Config, path: str) -> bool:
    """Return whether a path of ``mounts.deny`` is equal to, below or above a path."""
    return any(
        is_within(path, denied) or is_within(denied, path) for denied in config["mounts"]["deny"]
    )


def is_within(path: str, root: str) -> bool:
    """Return whether a clean path is equal to or below a root."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def is_warn_only(config: Config, rule: str) -> bool:
    """Return whether a rule is in mode warn, in which it does not deny."""
    mode = config["rules"].get(rule, config["mode"])
    return bool(mode == "warn")


def matches_any(patterns: Iterable[str], text: str) -> bool:
    """Return whether a text matches one of the patterns, in which ``*`` stands for any text."""
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL)
        for pattern in patterns
    )


def allows_port(config: Config, port: int) -> bool:
    """Return whether a port can be published on every address of the host."""
    ports = config["ports"]
    return matches_any(ports["addresses"], "0.0.0.0") and any(  # noqa: S104 - not an address to bind
        range_["first"] <= port <= range_["last"] for range_ in ports["ranges"]
    )
