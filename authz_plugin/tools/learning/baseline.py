"""The baseline configuration: what a proposal starts from, before anything is granted.

A setting that a rule's annotation ``baseline`` names has the value that is stated there. Any other
setting allows only what both the configuration in force and the profile ``closed`` allow.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

from authz_plugin.rules import CONFIGURED, GREATER, UNION, Key, Rule
from authz_plugin.tools.config_changes.steps import place

PROFILE: Final = "closed"

_ACCESS: Final = {"none": 0, "read": 1, "write": 2}
_NOT_OF_A_ROLE: Final = frozenset(
    {"profile", "mode", "rules", "roles", "role_order", "callers", "default_role"}
    | {"unmatched_callers", "exceptions", "ping"}
)
_FILLED_IN: Final = (
    ("guard", "paths"),
    ("guard", "places"),
    ("guard", "prefixes"),
    ("labels", "reserved_folded"),
    ("mounts", "deny_inside"),
    ("mounts", "deny_links"),
)
"""Keys that the plugin fills in."""

_UNITS: Final = (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10))
_SIZES: Final = frozenset({"memory", "shm", "swap", "tmpfs"})


def baseline(
    config: dict[str, Any], closed: Mapping[str, Any], rules: Iterable[Rule]
) -> dict[str, Any]:
    """The baseline for one role, or for callers without a role.

    ``config`` is the configuration in force for them and ``closed`` the profile of that name, both
    complete. The result is complete, too, without the keys that the plugin fills in.
    """
    settings: dict[str, Any] = {
        name: _stricter(value, closed[name], (name,))
        for name, value in config.items()
        if name not in _NOT_OF_A_ROLE
    }
    for section, name in _FILLED_IN:
        settings[section].pop(name)
    for rule in rules:
        for name, stated in rule.baseline.items():
            key = tuple(name.split("."))
            ours, theirs = (place(whole, key)[key[-1]] for whole in (config, closed))
            place(settings, key)[key[-1]] = _stated(stated, ours, theirs)
    return settings


def differences(
    settings: Mapping[str, Any], closed: Mapping[str, Any], kept: frozenset[Key]
) -> dict[str, Any]:
    """The settings that an operator has to write beside ``profile: closed``.

    These are the ones with another value than in ``closed``, and those in ``kept``.
    """
    return _different(settings, closed, kept, ())


def _stated(stated: Any, value: Any, closed: Any) -> Any:
    """The value that an annotation states of a setting."""
    if stated == CONFIGURED:
        return copy.deepcopy(value)
    if stated == UNION:
        return sorted({*value, *closed})
    return max(value, closed) if stated == GREATER else copy.deepcopy(stated)


def _stricter(value: Any, closed: Any, key: Key) -> Any:
    """A value that allows only what both ``value`` and ``closed`` allow."""
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
    """A size in bytes with the largest unit that divides it, as in ``512m``."""
    for unit, bytes_ in _UNITS:
        if isinstance(size, int) and size >= bytes_ and size % bytes_ == 0:
            return f"{size // bytes_}{unit}"
    return size
