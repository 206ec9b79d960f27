"""Groups the requests whose verdict differs between two policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from authz_plugin.tools.replay.verdicts import Replayed

Kind = Literal["denied", "allowed", "otherwise"]
"""``denied``: newly denied. ``allowed``: newly allowed. ``otherwise``: denied by other rules."""

KINDS: Final[tuple[Kind, ...]] = ("denied", "allowed", "otherwise")

_MAX_EXAMPLES: Final = 3
_MAX_CALLERS: Final = 20
_MAX_GROUPS: Final = 10_000
"""Further groups are counted in the totals and not listed."""


@dataclass(slots=True)
class Group:
    """Requests of one operation whose verdicts were, and would be, made by the same rules.

    ``callers`` are the numbers of requests by caller, ``examples`` the first few requests.
    """

    kind: Kind
    operation: str
    requests: int = 0
    callers: Counter[str] = field(default_factory=Counter)
    examples: list[Replayed] = field(default_factory=list)

    def add(self, replayed: Replayed) -> None:
        self.requests += 1
        known = replayed.caller in self.callers or len(self.callers) < _MAX_CALLERS
        self.callers[replayed.caller if known else "others"] += 1
        shown = {(example.title, example.decision_id) for example in self.examples}
        if len(shown) < _MAX_EXAMPLES and (replayed.title, replayed.decision_id) not in shown:
            self.examples.append(replayed)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The changes of verdicts under another policy.

    ``requests`` is the number of all requests and ``changed`` the number of each kind of change.
    ``rules`` has, for each kind, the number of requests that each rule newly denies or no longer
    denies. ``groups`` are sorted by kind, then by their number of requests, the largest first.
    """

    requests: int
    changed: Counter[Kind]
    rules: dict[Kind, Counter[str]]
    groups: list[Group]

    @property
    def is_same(self) -> bool:
        return not self.changed


def compare(replayed_requests: Iterable[Replayed]) -> Comparison:
    """Compare the verdicts of requests: whether they are allowed, and by which rules denied."""
    requests = 0
    changed: Counter[Kind] = Counter()
    rules: dict[Kind, Counter[str]] = {kind: Counter() for kind in KINDS}
    groups: dict[tuple[object, ...], Group] = {}
    for replayed in replayed_requests:
        requests += 1
        kind = _kind(replayed)
        if kind is None:
            continue
        changed[kind] += 1
        rules[kind].update(set(replayed.was.rules) ^ set(replayed.would_be.rules))
        key = kind, replayed.operation, replayed.was.rules, replayed.would_be.rules
        if key in groups or len(groups) < _MAX_GROUPS:
            groups.setdefault(key, Group(kind, replayed.operation)).add(replayed)
    order = sorted(groups.values(), key=lambda group: (KINDS.index(group.kind), -group.requests))
    return Comparison(requests, changed, rules, order)


def _kind(replayed: Replayed) -> Kind | None:
    if replayed.was.allow != replayed.would_be.allow:
        return "allowed" if replayed.would_be.allow else "denied"
    return "otherwise" if replayed.was.rules != replayed.would_be.rules else None
