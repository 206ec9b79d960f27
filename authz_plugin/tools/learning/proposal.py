"""Build the configuration that ``learn`` proposes, and test it on the recorded requests.

Starts with the baseline, grants the changes that a survey of the audit file found, and surveys
again with the result, until a survey finds no new change that may be granted.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authz_plugin.journal.recording import AuditedDecision
from authz_plugin.rules import Key
from authz_plugin.tools.config_changes.gate import Gate
from authz_plugin.tools.config_changes.steps import (
    AddEntry,
    ConfigChange,
    RemoveEntry,
    Step,
    WidenLimit,
    place,
    written,
)
from authz_plugin.tools.learning.baseline import PROFILE, baseline, differences
from authz_plugin.tools.learning.roots import bind_roots, image_roots, port_ranges
from authz_plugin.tools.learning.survey import Asked, Survey, Tally, survey
from authz_plugin.tools.sandbox import Sandbox

_SURVEYS: Final = 6
_FOR_ALL: Final = frozenset({"unmatched_callers"})
"""Keys that a role cannot set."""


@dataclass(slots=True)
class Grant:
    """One change of the baseline, with the rules that asked for it.

    ``value`` is an entry of the list at ``key`` (``is_entry``) or the value of ``key``, as an
    operator writes it; ``removed`` tells that the entry is removed. ``dangers`` are the dangers of
    the changes that ``--grant`` named, and ``of`` the denied values that were generalized to it.
    """

    role: str
    key: Key
    value: Any
    is_entry: bool
    removed: bool = False
    rules: set[str] = field(default_factory=set)
    dangers: set[str] = field(default_factory=set)
    of: set[str] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class Proposal:
    """``settings`` is the policy configuration as an operator writes it, ``survey`` the last survey
    of the audit file, and ``unmet`` lists the names of ``--grant`` that no denial asked for."""

    settings: dict[str, Any]
    grants: list[Grant]
    survey: Survey
    unmet: list[str]


def propose(
    sandbox: Sandbox,
    recordings: Callable[[], Iterable[AuditedDecision]],
    named: Collection[str],
    *,
    own_tools: bool = False,
) -> Proposal:
    """The smallest configuration that allows recorded requests.

    ``sandbox`` holds the policy with the configuration in force. ``recordings`` is called for each
    survey. ``named`` are the dangerous changes that may be granted: ``RULE`` or ``RULE=VALUE``.
    ``own_tools`` tells whether to learn from the requests of this project's own tools, too. Raises
    ``PolicyError`` if the operator's own rules cannot be read.
    """
    gate = Gate(named)
    draft = _Draft(sandbox)
    granted: dict[Asked, Tally] = {}
    for number in range(_SURVEYS):
        settings, grants = draft.with_granted(granted)
        config = sandbox.configured(settings)
        found = survey(recordings(), sandbox, config, gate, own_tools=own_tools)
        new = {asked: tally for asked, tally in found.granted.items() if asked not in granted}
        if not new or number == _SURVEYS - 1:
            break
        granted |= new
    return Proposal(settings, grants, found, gate.unmet)


class _Draft:
    """The proposed configuration: the baseline of each role, and grants beside it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._given = sandbox.settings.policy
        self._whole = sandbox.config
        self._closed = sandbox.configured({"profile": PROFILE})
        configs = {"": sandbox.config, **sandbox.config["roles"]}
        self._baselines = {
            role: baseline(config, self._closed, sandbox.rules.values())
            for role, config in configs.items()
        }

    def with_granted(self, granted: Mapping[Asked, Tally]) -> tuple[dict[str, Any], list[Grant]]:
        """The configuration with some changes granted, and the grants that it holds."""
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
        settings = copy.deepcopy(self._baselines[role])
        own = [grant for grant in grants if grant.role == role and grant.key[0] not in _FOR_ALL]
        for grant in sorted(own, key=lambda grant: (grant.key, str(grant.value))):
            _apply(settings, grant)
        return differences(settings, self._closed, frozenset(grant.key for grant in own))


def _apply(settings: dict[str, Any], grant: Grant) -> None:
    holder, name = place(settings, grant.key), grant.key[-1]
    if not grant.is_entry:
        holder[name] = grant.value
    elif not grant.removed:
        entries = holder.setdefault(name, [])
        entries += [] if grant.value in entries else [grant.value]
    elif isinstance(holder[name], dict):
        holder[name].pop(grant.value, None)
    else:
        holder[name] = [entry for entry in holder[name] if entry != grant.value]


def _grants(granted: Mapping[Asked, Tally], config: Mapping[str, Any]) -> list[Grant]:
    """The grants for some changes.

    Entries that are added to one list are generalized, and changes of one value become one grant.
    """
    by_key: dict[tuple[str, Key], list[tuple[Step, ConfigChange, Tally]]] = defaultdict(list)
    for (role, change), tally in granted.items():
        for step in change.steps:
            by_key[role, step.key].append((step, change, tally))
    found: list[Grant] = []
    for (role, key), steps in by_key.items():
        own = config["roles"][role] if role else config
        protected = [*own["mounts"]["deny"], *own["guard"]["paths"]]
        added = [step.item for step, _, _ in steps if isinstance(step, AddEntry)]
        generalized = _generalized(key, added, protected)
        grants: dict[tuple[bool, Any], Grant] = {}
        for step, change, tally in steps:
            grant = _grant(role, step, generalized)
            name = (grant.removed, repr(grant.value)) if grant.is_entry else (False, None)
            first = grants.setdefault(name, grant)
            if isinstance(step, WidenLimit):
                first.value = _wider(first.value, step)
            first.rules.add(change.rule)
            first.dangers |= {change.danger} - {""}
            first.of |= {change.value}
            first.tally.merge(tally)
        found += grants.values()
    return found


def _grant(role: str, step: Step, generalized: Mapping[Any, Any]) -> Grant:
    match step:
        case AddEntry(key, item):
            return Grant(role, key, written(key, generalized[item]), is_entry=True)
        case RemoveEntry(key, item):
            return Grant(role, key, item, is_entry=True, removed=True)
    return Grant(role, step.key, step.value, is_entry=False)


def _generalized(key: Key, items: list[Any], protected: Iterable[str]) -> Mapping[Any, Any]:
    if key == ("mounts", "allow"):
        return bind_roots(items, protected)
    if key == ("ports", "ranges"):
        return port_ranges(items)
    return image_roots(items) if key[0] == "images" else {item: item for item in items}


def _wider(limit: float | None, step: WidenLimit) -> float | None:
    if limit is None or step.value is None:
        return None
    return min(limit, step.value) if step.is_minimum else max(limit, step.value)
