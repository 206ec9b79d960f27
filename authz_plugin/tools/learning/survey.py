"""Decide the requests of an audit file again, and count the changes that the denials ask for.

Memory is bounded for a file of any length: equal requests are decided once, and at most ``_MOST``
different changes are counted. Those beyond are found by the next survey, whose configuration grants
most of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from authz_plugin.decision import Decision, Denial
from authz_plugin.journal.recording import AuditedDecision
from authz_plugin.tools.config_changes.denials import Case, config_changes
from authz_plugin.tools.config_changes.gate import Gate
from authz_plugin.tools.config_changes.steps import ConfigChange
from authz_plugin.tools.sandbox import BatchDecider, Sandbox

_AT_ONCE: Final = 512
_MOST: Final = 20_000
"""Different changes that one survey counts."""

_CALLERS: Final = 20
_EXAMPLES: Final = 3
_OTHERS: Final = "others"


@dataclass(slots=True)
class Tally:
    """How many requests asked for something, who sent them, and the ids of some decisions."""

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


Asked = tuple[str, ConfigChange]
"""The caller's role, empty for none, and the change that a denial asks for."""


@dataclass(slots=True)
class Survey:
    """The result of a survey.

    Of the ``decisions``, ``allowed`` is the number that the configuration of the survey allows;
    ``denied`` were denied by the policy when they were recorded, ``refused`` by the plugin itself,
    and ``unrecorded`` have no input document. ``first`` and ``last`` are the times of the first and
    the last decision. ``own_tools`` are the requests that say to come from a tool of this project
    and are left out, by the tool. ``granted`` are changes that may be granted, ``withheld`` those
    that are granted only if ``--grant`` names them, and ``not_grantable`` the rule and message of
    denials that no change removes. ``overflow`` counts what was not noted.
    """

    decisions: int = 0
    allowed: int = 0
    denied: int = 0
    refused: int = 0
    unrecorded: int = 0
    first: str = ""
    last: str = ""
    own_tools: dict[str, Tally] = field(default_factory=dict)
    granted: dict[Asked, Tally] = field(default_factory=dict)
    withheld: dict[Asked, Tally] = field(default_factory=dict)
    not_grantable: dict[tuple[str, str], Tally] = field(default_factory=dict)
    overflow: Tally = field(default_factory=Tally)

    @property
    def happened(self) -> int:
        """The number of requests that were allowed then and can be decided again."""
        own = sum(tally.requests for tally in self.own_tools.values())
        return self.decisions - self.denied - self.refused - self.unrecorded - own


def survey(
    recordings: Iterable[AuditedDecision],
    sandbox: Sandbox,
    config: Mapping[str, Any],
    gate: Gate,
    *,
    own_tools: bool = False,
) -> Survey:
    """Decide recorded requests by a complete configuration and count what the denials ask for.

    Requests that say to come from this project's own tools are left out unless ``own_tools`` is
    true. Any client can say so, and then less is proposed: nothing is ever granted for it.
    """
    audit_survey = AuditSurvey(sandbox, config, gate, own_tools=own_tools)
    recordings = iter(recordings)
    while some := list(islice(recordings, _AT_ONCE)):
        audit_survey.add(some)
    return audit_survey.found


class AuditSurvey:
    """A survey that is being made; ``found`` is its result so far."""

    def __init__(
        self, sandbox: Sandbox, config: Mapping[str, Any], gate: Gate, *, own_tools: bool = False
    ) -> None:
        self._in_force = sandbox.config
        self._config = config
        self._rules = sandbox.rules
        self._gate = gate
        self._own_tools = own_tools
        self._stream = BatchDecider(sandbox, config, self._tallies)
        self.found = Survey()

    def add(self, recordings: Sequence[AuditedDecision]) -> None:
        """Survey some more decisions, in the order of the audit file."""
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
        """Whether a request was allowed and is learned from; another one is counted here."""
        found, record = self.found, recording.record
        found.decisions += 1
        found.first = found.first or record["timestamp"]
        found.last = record["timestamp"]
        if record["verdict"] == "deny" and record["profile"]:
            found.denied += 1
            return False
        found.unrecorded += record["verdict"] == "allow" and recording.document is None
        if recording.tool and not self._own_tools:
            found.own_tools.setdefault(recording.tool, Tally()).count(recording)
            return False
        if record["verdict"] == "allow":
            return True
        found.refused += 1
        for named in record["rules"]:
            self._not_grantable(named.partition(" ")[0], record["details"]).count(recording)
        return False

    def _tallies(self, document: Mapping[str, Any], decision: Decision) -> list[Tally]:
        """The tallies that count a request with this document; none if it is allowed.

        If no change removes one of its denials, the request is counted for such denials alone; or
        else for the withheld changes that it asks for; or else for all its changes.
        """
        asked: list[ConfigChange] = []
        not_grantable: list[Tally] = []
        for denial in decision.denials:
            found = self._changes(denial, document, decision.role)
            asked += found
            if not found:
                not_grantable.append(self._not_grantable(denial.rule, denial.message))
        asked = list(dict.fromkeys(asked))
        withheld = [change for change in asked if self._gate.withholds(change)]
        if not_grantable:
            return not_grantable
        if withheld:
            return [self._tally(self.found.withheld, decision.role, change) for change in withheld]
        return [self._tally(self.found.granted, decision.role, change) for change in asked]

    def _changes(
        self, denial: Denial, document: Mapping[str, Any], role: str
    ) -> list[ConfigChange]:
        rule = self._rules.get(denial.rule)
        if rule is None:
            return []
        config, given = (
            whole["roles"][role] if role else whole for whole in (self._config, self._in_force)
        )
        return config_changes(Case(rule, denial, document, config, given))

    def _tally(self, tallies: dict[Asked, Tally], role: str, change: ConfigChange) -> Tally:
        asked = (role, change)
        if asked not in tallies and len(tallies) >= _MOST:
            return self.found.overflow
        return tallies.setdefault(asked, Tally())

    def _not_grantable(self, rule: str, message: str) -> Tally:
        tallies, reason = self.found.not_grantable, (rule, message)
        if reason not in tallies and len(tallies) >= _MOST:
            return self.found.overflow
        return tallies.setdefault(reason, Tally())
