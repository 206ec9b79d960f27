"""Where two decisions of the same request differ, in groups of those that differ alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from authz_plugin.tools.replay.verdicts import Pair

Kind = Literal["denied", "allowed", "otherwise"]
"""Newly denied, newly allowed, or denied by other rules than before."""

KINDS: Final[tuple[Kind, ...]] = ("denied", "allowed", "otherwise")

_EXAMPLES: Final = 3
_CALLERS: Final = 20
_MOST: Final = 10_000
"""Groups; what belongs to none of them is counted alone."""


@dataclass(slots=True)
class Group:
    """Requests of one operation whose decisions change alike, with some as ``examples``."""

    kind: Kind
    operation: str
    requests: int = 0
    callers: Counter[str] = field(default_factory=Counter)
    examples: list[Pair] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        self.requests += 1
        known = pair.caller in self.callers or len(self.callers) < _CALLERS
        self.callers[pair.caller if known else "others"] += 1
        shown = {(example.title, example.decision_id) for example in self.examples}
        if len(shown) < _EXAMPLES and (pair.title, pair.decision_id) not in shown:
            self.examples.append(pair)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes. ``changed`` has the number of requests of each kind, ``rules`` that of those
    which each rule now denies, or no longer does; ``groups`` are the largest of each kind first."""

    requests: int
    changed: Counter[Kind]
    rules: dict[Kind, Counter[str]]
    groups: list[Group]

    @property
    def is_same(self) -> bool:
        return not self.changed


def compare(pairs: Iterable[Pair]) -> Comparison:
    """Sort out which decisions change: those whose verdict does, and denials by other rules."""
    requests = 0
    changed: Counter[Kind] = Counter()
    rules: dict[Kind, Counter[str]] = {kind: Counter() for kind in KINDS}
    groups: dict[tuple[object, ...], Group] = {}
    for pair in pairs:
        requests += 1
        kind = _kind(pair)
        if kind is None:
            continue
        changed[kind] += 1
        rules[kind].update(set(pair.was.rules) ^ set(pair.would_be.rules))
        key = kind, pair.operation, pair.was.rules, pair.would_be.rules
        if key in groups or len(groups) < _MOST:
            groups.setdefault(key, Group(kind, pair.operation)).add(pair)
    order = sorted(groups.values(), key=lambda group: (KINDS.index(group.kind), -group.requests))
    return Comparison(requests, changed, rules, order)


def _kind(pair: Pair) -> Kind | None:
    if pair.was.allow != pair.would_be.allow:
        return "allowed" if pair.would_be.allow else "denied"
    return "otherwise" if pair.was.rules != pair.would_be.rules else None
