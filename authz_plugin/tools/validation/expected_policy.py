"""What a policy configuration promises, read off it without any policy.

A second opinion on purpose: it knows nothing of the rules, so that a rule that does not do what the
configuration says is found. It may promise more than the rules keep to (they look at more), never
less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from authz_plugin.dockerd.mounts import clean
from authz_plugin.dockerd.routes import Operation

Config = Mapping[str, Any]


def opens(config: Config, operation: Operation) -> bool:
    """Whether an operation is open by its own name or by its section."""
    named = config["operations"].get(operation.id)
    if named is not None:
        return bool(named == "allow")
    section = config["sections"].get(operation.section, "none")
    return section == "write" or (section == "read" and operation.access == "read")


def shares_namespace(config: Config, kind: str, whose: str) -> bool:
    """Whether a namespace (``"pid"``) of the ``"host"`` or of a ``"container"`` may be joined."""
    return bool({kind, f"{kind}:{whose}"} & set(config["namespaces"]["allow"]))


def gives_capability(config: Config, name: str) -> bool:
    return bool({name, "ALL"} & set(config["capabilities"]["allow"]))


def takes_security_option(config: Config, name: str, value: str) -> bool:
    return value in config["security_options"]["allow"].get(name, [])


def mounts_path(config: Config, path: str, *, read_only: bool = False) -> bool:
    """Whether a path of the host may be bind-mounted, as far as its spelling tells."""
    mounts = config["mounts"]
    path = clean(path) or path
    if "bind" not in mounts["types"] or reaches_denied(config, path):
        return False
    return any(
        below(path, root["path"]) and (read_only or not root.get("read_only"))
        for root in mounts["allow"]
    )


def reaches_denied(config: Config, path: str) -> bool:
    """Whether a path is, holds or lies below one of ``mounts.deny``."""
    return any(below(path, denied) or below(denied, path) for denied in config["mounts"]["deny"])


def below(path: str, root: str) -> bool:
    """Whether a clean path is a root or lies below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def only_warns(config: Config, rule: str) -> bool:
    """Whether a rule is in warn mode, so that what it denies is allowed."""
    mode = config["rules"].get(rule, config["mode"])
    return bool(mode == "warn")


def fits(patterns: Iterable[str], text: str) -> bool:
    """Whether a text fits one of some patterns, in which ``*`` stands for any text."""
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL)
        for pattern in patterns
    )


def opens_port(config: Config, port: int) -> bool:
    """Whether a port may be opened on every address of the host."""
    ports = config["ports"]
    return fits(ports["addresses"], "0.0.0.0") and any(  # noqa: S104 - an address to judge
        range_["first"] <= port <= range_["last"] for range_ in ports["ranges"]
    )
