"""A proposal: a configuration that allows what happened, made of wishes, and tried.

Begins at the floor, grants what the walk through the audit file asks for, and walks again with the
result, until nothing is asked for any more that may be granted.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authz_plugin.journal.recording import AuditedDecision
from authz_plugin.tools.learning.baseline import PROFILE, differences, floor, place
from authz_plugin.tools.learning.config_changes import (
    Add,
    Bind,
    Change,
    Drop,
    Key,
    Ports,
    Reach,
    Wish,
)
from authz_plugin.tools.learning.roots import bind_roots, image_roots, port_ranges
from authz_plugin.tools.learning.survey import Asked, Survey, Tally, survey
from authz_plugin.tools.sandbox import Sandbox

_WALKS: Final = 6
_HUB: Final = "docker.io/"
_FOR_ALL: Final = frozenset({"unmatched_callers"})
"""Keys that stand outside of roles, whoever asks."""


@dataclass(slots=True)
class Grant:
    """One change of the floor and what is behind it.

    ``value`` is an entry of the list at ``key`` or the key's value, in the form in which an
    operator writes it; ``taken`` says that the entry is taken out. ``dangers`` are what it means,
    where it was named; ``of`` are the values that it sums up.
    """

    role: str
    key: Key
    value: Any
    is_entry: bool
    taken: bool = False
    rules: set[str] = field(default_factory=set)
    dangers: set[str] = field(default_factory=set)
    of: set[str] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class Proposal:
    """``settings`` are the policy configuration as an operator writes it, ``survey`` is what the
    audit file asks of it, ``unmet`` the ``--grant`` names that nothing asked for."""

    settings: dict[str, Any]
    grants: list[Grant]
    survey: Survey
    unmet: list[str]


def propose(
    sandbox: Sandbox, recordings: Callable[[], Iterable[AuditedDecision]], named: Collection[str]
) -> Proposal:
    """The least configuration for recorded decisions, which are read several times.

    ``sandbox`` holds the policy with the configuration in force. ``named`` are the dangerous wishes
    that may be granted: a rule, or ``RULE=VALUE``.
    """
    met: set[str] = set()

    def is_named(wish: Wish) -> bool:
        names = {wish.rule, f"{wish.rule}={wish.value}"} & set(named)
        met.update(names)
        return bool(names)

    draft = _Draft(sandbox)
    granted: dict[Asked, Tally] = {}
    for walk in range(_WALKS):
        settings, grants = draft.with_granted(granted)
        found = survey(recordings(), sandbox, sandbox.configured(settings), is_named)
        new = {asked: tally for asked, tally in found.granted.items() if asked not in granted}
        if not new or walk == _WALKS - 1:
            break
        granted |= new
    return Proposal(settings, grants, found, sorted(set(named) - met))


class _Draft:
    """The floors of all roles, and what is built on them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._given = sandbox.settings.policy
        self._whole = sandbox.config
        self._closed = sandbox.configured({"profile": PROFILE})
        configs = {"": sandbox.config, **sandbox.config["roles"]}
        self._floors = {role: floor(config, self._closed) for role, config in configs.items()}

    def with_granted(self, granted: Mapping[Asked, Tally]) -> tuple[dict[str, Any], list[Grant]]:
        """The configuration with wishes granted, and what was granted."""
        grants = _grants(granted, self._whole)
        settings = {"profile": PROFILE, **self._scope("", grants)}
        outside = {
            "ping": self._whole["ping"],
            "unmatched_callers": self._whole["unmatched_callers"],
        }
        outside |= {grant.key[0]: grant.value for grant in grants if grant.key[0] in _FOR_ALL}
        settings |= {name: v for name, v in outside.items() if v != self._closed[name]}
        if self._whole["default_role"] is not None:
            settings["default_role"] = self._whole["default_role"]
        if self._whole["roles"]:
            settings["roles"] = {
                role: {
                    "callers": config["callers"],
                    "profile": PROFILE,
                    **self._scope(role, grants),
                }
                for role, config in self._whole["roles"].items()
            }
        if self._given.get("exceptions"):
            settings["exceptions"] = self._given["exceptions"]
        return settings, grants

    def _scope(self, role: str, grants: Iterable[Grant]) -> dict[str, Any]:
        settings = copy.deepcopy(self._floors[role])
        own = [grant for grant in grants if grant.role == role and grant.key[0] not in _FOR_ALL]
        for grant in sorted(own, key=lambda grant: (grant.key, str(grant.value))):
            _apply(settings, grant)
        return differences(settings, self._closed, frozenset(grant.key for grant in own))


def _apply(settings: dict[str, Any], grant: Grant) -> None:
    holder, name = place(settings, grant.key), grant.key[-1]
    if not grant.is_entry:
        holder[name] = grant.value
    elif not grant.taken:
        entries = holder.setdefault(name, [])
        entries += [] if grant.value in entries else [grant.value]
    elif isinstance(holder[name], dict):
        holder[name].pop(grant.value, None)
    else:
        holder[name] = [entry for entry in holder[name] if entry != grant.value]


def _grants(granted: Mapping[Asked, Tally], config: Mapping[str, Any]) -> list[Grant]:
    """Wishes as grants: entries of one list summed up, changes of one value made one."""
    by_key: dict[tuple[str, Key], list[tuple[Change, Wish, Tally]]] = defaultdict(list)
    for (role, wish), tally in granted.items():
        for change in wish.changes:
            by_key[role, change.key].append((change, wish, tally))
    found: list[Grant] = []
    for (role, key), changes in by_key.items():
        own = config["roles"][role] if role else config
        protected = [*own["mounts"]["deny"], *own["guard"]["paths"]]
        summed = _summed_up(key, [c.item for c, _, _ in changes if isinstance(c, Add)], protected)
        grants: dict[tuple[bool, Any], Grant] = {}
        for change, wish, tally in changes:
            grant = _grant(role, change, summed)
            name = (grant.taken, repr(grant.value)) if grant.is_entry else (False, None)
            first = grants.setdefault(name, grant)
            if isinstance(change, Reach):
                first.value = _wider(first.value, change)
            first.rules.add(wish.rule)
            first.dangers |= {wish.danger} - {""}
            first.of |= {wish.value}
            first.tally.merge(tally)
        found += grants.values()
    return found


def _grant(role: str, change: Change, summed: Mapping[Any, Any]) -> Grant:
    match change:
        case Add(key, item):
            return Grant(role, key, _written(key, summed[item]), is_entry=True)
        case Drop(key, item):
            return Grant(role, key, item, is_entry=True, taken=True)
    return Grant(role, change.key, change.value, is_entry=False)


def _summed_up(key: Key, items: list[Any], protected: Iterable[str]) -> Mapping[Any, Any]:
    if key == ("mounts", "allow"):
        return bind_roots(items, protected)
    if key == ("ports", "ranges"):
        return port_ranges(items)
    return image_roots(items) if key[0] == "images" else {item: item for item in items}


def _written(key: Key, item: Any) -> Any:
    """An entry of a list as an operator writes it."""
    match item:
        case Bind(path=path, read_only=read_only):
            return {"path": path, "read_only": True} if read_only else {"path": path}
        case Ports(first, last):
            return {"first": first, "last": last}
        case str() if key[0] == "images":
            return _short(item)
    return item


def _short(image: str) -> str:
    """A pattern of images without Docker Hub's name, where what is left means the same."""
    rest = image.removeprefix(_HUB)
    host, slash, name = rest.partition("/")
    if rest == image or not slash or not host.isalnum() or host == "localhost":
        return image
    return name if host == "library" and "/" not in name else rest


def _wider(bound: float | None, change: Reach) -> float | None:
    if bound is None or change.value is None:
        return None
    return min(bound, change.value) if change.is_floor else max(bound, change.value)
