"""Where a proposal begins: the configuration in force, with all closed that opens something.

What it demands stays. What it opens is closed as far as the profile ``closed`` closes it, and lists
of what has a name (operations, images, registries, networks, ports, capabilities, paths) are empty.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from authz_plugin.tools.learning.config_changes import Key

PROFILE: Final = "closed"

_EMPTIED: Final[Mapping[str, Mapping[str, Any]]] = {
    "capabilities": {"allow": []},
    "images": {
        "allow": [], "names": [], "push": [], "ids": False, "latest": False, "import_urls": False,
    },
    "mounts": {"allow": []},
    "networks": {
        "join": [], "default_bridge": False, "aliases": False, "links": False,
        "static_addresses": False, "extra_hosts": False, "host_gateway": False, "dns": False,
        "subnets": False,
    },
    "ports": {"ranges": [], "addresses": [], "random": False, "publish_all": False},
    "registries": {"allow": []},
    "users": {"containers": [], "execs": [], "groups": []},
    "volumes": {"named": False},
}  # fmt: skip

_DEMANDS: Final = (
    ("containers", "deny_commands"),
    ("containers", "restart_retries"),
    ("images", "digest"),
    ("labels",),
    ("mounts", "follow_symlinks"),
    ("mounts", "subfolders"),
    ("resources", "max"),
    ("resources", "required"),
    ("tenancy",),
    ("hardening",),
)
"""What is demanded, and whether links can be followed here: that stays as it is."""

_ACCESS: Final = {"none": 0, "read": 1, "write": 2}
_NOT_OF_A_ROLE: Final = frozenset(
    {"profile", "mode", "rules", "roles", "role_order", "callers", "default_role"}
    | {"unmatched_callers", "exceptions", "ping"}
)
_UNITS: Final = (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10))
_SIZES: Final = frozenset({"memory", "shm", "swap", "tmpfs"})


def floor(config: dict[str, Any], closed: Mapping[str, Any]) -> dict[str, Any]:
    """The beginning of a proposal for one role, or for callers without one.

    ``config`` is what is in force for them and ``closed`` the profile of that name, both complete;
    the floor is complete too, in the form in which an operator writes.
    """
    begun: dict[str, Any] = {
        name: _stricter(value, closed[name], (name,))
        for name, value in config.items()
        if name not in _NOT_OF_A_ROLE
    }
    for key in _DEMANDS:
        place(begun, key)[key[-1]] = copy.deepcopy(place(config, key)[key[-1]])
    begun["mounts"]["deny"] = sorted({*config["mounts"]["deny"], *closed["mounts"]["deny"]})
    scores = (section["resources"]["oom_score"] for section in (config, closed))
    begun["resources"]["oom_score"] = max(scores)
    for name, values in _EMPTIED.items():
        begun[name] |= copy.deepcopy(dict(values))
    begun["guard"] = {"unprotected_paths": []}
    return begun


def differences(
    settings: Mapping[str, Any], closed: Mapping[str, Any], kept: frozenset[Key]
) -> dict[str, Any]:
    """What an operator has to write on top of ``closed``: keys with another value, and the ``kept``
    ones all the same."""
    return _different(settings, closed, kept, ())


def place(config: dict[str, Any], key: Key) -> dict[str, Any]:
    """The map in which the last part of a key stands; made where it is not there."""
    for name in key[:-1]:
        config = config.setdefault(name, {})
    return config


def _stricter(value: Any, closed: Any, key: Key) -> Any:
    """What both of two values of an opening key allow."""
    if isinstance(value, dict):
        return {
            name: _stricter(inner, closed[name], (*key, name))
            for name, inner in value.items()
            if name in closed
        }
    if isinstance(value, list):
        return [item for item in value if item in closed]
    if isinstance(value, bool):
        return value and closed
    if isinstance(value, str) and key[0] == "sections":
        return min(value, closed, key=_ACCESS.__getitem__)
    if value is None or isinstance(value, str):
        return closed
    return value if closed is None else min(value, closed)


def _different(
    settings: Mapping[str, Any], closed: Mapping[str, Any], kept: frozenset[Key], key: Key
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        here = (*key, name)
        other = closed.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            inner = _different(value, other, kept, here)
            if inner:
                found[name] = inner
        elif here in kept or name not in closed or value != other:
            found[name] = _readable(value) if name in _SIZES else value
    return found


def _readable(size: Any) -> Any:
    """A size as people write it, if it is a round one."""
    for unit, bytes_ in _UNITS:
        if isinstance(size, int) and size >= bytes_ and size % bytes_ == 0:
            return f"{size // bytes_}{unit}"
    return size
