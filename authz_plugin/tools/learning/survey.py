"""A walk through an audit file: what each decision asks of a configuration, counted.

Memory stays bounded however long the file is: what is said twice is decided once, and beyond a
number of different wishes no more are noted; what they were is found by the next walk, when most of
the others are granted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from authz_plugin.decision import Decision
from authz_plugin.journal.recording import AuditedDecision
from authz_plugin.tools.learning.config_changes import Wish
from authz_plugin.tools.learning.rules import Case, wishes
from authz_plugin.tools.sandbox import BatchDecider, Sandbox

_AT_ONCE: Final = 512
_MOST: Final = 20_000
"""Different wishes of one survey."""

_CALLERS: Final = 20
_EXAMPLES: Final = 3
_OTHERS: Final = "others"


@dataclass(slots=True)
class Tally:
    """How often something was asked, by whom, and decisions as examples."""

    requests: int = 0
    callers: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def count(self, recording: AuditedDecision) -> None:
        caller = recording.caller
        known = caller in self.callers or len(self.callers) < _CALLERS
        self.requests += 1
        self.callers[caller if known else _OTHERS] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(recording.record["decision_id"])

    def merge(self, other: Tally) -> None:
        self.requests += other.requests
        self.callers += other.callers
        self.examples = (self.examples + other.examples)[:_EXAMPLES]


Asked = tuple[str, Wish]
"""The role of who asks, empty for none, and what for."""


@dataclass(slots=True)
class Survey:
    """What was found.

    Of the decisions, ``allowed`` are so by the configuration of the survey; ``denied`` were so by
    the policy when they came, ``refused`` by the plugin itself, and ``unrecorded`` have no input.
    ``granted`` are wishes that may be granted, ``withheld`` those that are granted only if they are
    named; ``hopeless`` is what no configuration allows, by rule and message. ``overflow`` counts
    wishes that were not noted.
    """

    decisions: int = 0
    allowed: int = 0
    denied: int = 0
    refused: int = 0
    unrecorded: int = 0
    first: str = ""
    last: str = ""
    granted: dict[Asked, Tally] = field(default_factory=dict)
    withheld: dict[Asked, Tally] = field(default_factory=dict)
    hopeless: dict[tuple[str, str], Tally] = field(default_factory=dict)
    overflow: Tally = field(default_factory=Tally)

    @property
    def happened(self) -> int:
        """How many requests there are that were allowed and can be decided again."""
        return self.decisions - self.denied - self.refused - self.unrecorded


def survey(
    recordings: Iterable[AuditedDecision],
    sandbox: Sandbox,
    config: Mapping[str, Any],
    is_named: Callable[[Wish], bool],
) -> Survey:
    """What recorded decisions ask of a complete configuration; ``is_named`` says of a dangerous
    wish whether it may be granted."""
    walk = _Walk(sandbox, config, is_named)
    recordings = iter(recordings)
    while some := list(islice(recordings, _AT_ONCE)):
        walk.see(some)
    return walk.found


class _Walk:
    def __init__(
        self, sandbox: Sandbox, config: Mapping[str, Any], is_named: Callable[[Wish], bool]
    ) -> None:
        self._whole = sandbox.config
        self._config = config
        self._is_named = is_named
        self._stream = BatchDecider(sandbox, config, self._tallies)
        self.found = Survey()

    def see(self, recordings: Sequence[AuditedDecision]) -> None:
        """Take some decisions in, in their order."""
        happened = [
            (recording, recording.document)
            for recording in recordings
            if self._has_happened(recording) and recording.document is not None
        ]
        found = self._stream.decide([document for _, document in happened])
        for (recording, _), tallies in zip(happened, found, strict=True):
            self.found.allowed += not tallies
            for tally in tallies:
                tally.count(recording)

    def _has_happened(self, recording: AuditedDecision) -> bool:
        """Whether a decision was an allow; count those of which nothing can be learned."""
        found, record = self.found, recording.record
        found.decisions += 1
        found.first = found.first or record["timestamp"]
        found.last = record["timestamp"]
        if record["verdict"] == "allow":
            found.unrecorded += recording.document is None
            return True
        if record["profile"]:
            found.denied += 1
            return False
        found.refused += 1
        for named in record["rules"]:
            self._hopeless(named.partition(" ")[0], record["details"]).count(recording)
        return False

    def _tallies(self, document: Mapping[str, Any], decision: Decision) -> list[Tally]:
        """What counts a request: nothing if it is allowed, else what it wants; and where it wants
        something that it does not get, only that."""
        config, given = (
            whole["roles"][decision.role] if decision.role else whole
            for whole in (self._config, self._whole)
        )
        wanted: list[Wish] = []
        hopeless: list[Tally] = []
        for denial in decision.denials:
            asked = wishes(Case(denial, document, config, given))
            wanted += asked
            if not asked:
                hopeless.append(self._hopeless(denial.rule, denial.message))
        wanted = list(dict.fromkeys(wanted))
        withheld = [wish for wish in wanted if not self._is_named(wish) and wish.danger]
        if hopeless:
            return hopeless
        if withheld:
            return [self._tally(self.found.withheld, decision.role, wish) for wish in withheld]
        return [self._tally(self.found.granted, decision.role, wish) for wish in wanted]

    def _tally(self, tallies: dict[Asked, Tally], role: str, wish: Wish) -> Tally:
        asked = (role, wish)
        if asked not in tallies and len(tallies) >= _MOST:
            return self.found.overflow
        return tallies.setdefault(asked, Tally())

    def _hopeless(self, rule: str, message: str) -> Tally:
        reason = rule, message
        if reason not in self.found.hopeless and len(self.found.hopeless) >= _MOST:
            return self.found.overflow
        return self.found.hopeless.setdefault(reason, Tally())
