"""One decision of the audit file: why it was made, and what its change would turn.

The decision is found by its id in the audit file and its rotated files. Where its input was
recorded (``audit.inputs``), the policy in force decides on that input once more; the recorded input
has ``***`` for every text that no rule compares.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from authz_plugin.errors import SetupError
from authz_plugin.journal.recording import NOBODY, AuditedDecision, read_recordings
from authz_plugin.rules import AnnotatedRule
from authz_plugin.tools.console.decisions import is_outcome
from authz_plugin.tools.console.reading import decision_links, links_newest_first
from authz_plugin.tools.console.reasoning import (
    Reasoned,
    ShownRule,
    found_change,
    named_rule,
    reasoned,
    text,
)
from authz_plugin.tools.explanation.candidates import with_changes
from authz_plugin.tools.explanation.reasons import Explainer
from authz_plugin.tools.explanation.subjects import DECISION_ID
from authz_plugin.tools.replay.changes import KINDS, compare
from authz_plugin.tools.replay.report import limits
from authz_plugin.tools.replay.verdicts import NotReplayed, replay_decisions
from authz_plugin.tools.sandbox import Sandbox

MAX_REPLAYED: Final = 20_000
"""Decisions of the last day, the newest, that are decided once more."""

MAX_SECONDS: Final = 20.0
"""The time that deciding them once more may take."""

_SPAN: Final = timedelta(days=1)
_FINGERPRINT: Final = 12


class NoDecisionError(SetupError):
    """There is no decision with an id."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What dockerd reported: ``status`` is the HTTP status, None if it reported none, and
    ``created`` are ids of objects."""

    time: str
    status: int | None
    created: Sequence[str]


Recorded = tuple[AuditedDecision, Outcome | None]
"""A decision of the audit file, and its outcome if that is recorded."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision of the audit file.

    ``time`` is RFC 3339. ``resource``, ``role``, ``profile``, ``revision`` and ``error`` are empty
    if there is none. ``rules`` are those that denied or warned then. ``now`` is the decision of the
    policy in force on the recorded input, or None, and then ``no_input`` says why. ``differs``
    says how the policy in force differs from the one that decided; empty if it does not.
    """

    decision_id: str
    time: str
    allow: bool
    operation: str
    method: str
    resource: str
    caller: str
    role: str
    profile: str
    revision: str
    error: str
    details: str
    rules: Sequence[ShownRule]
    exceptions: Sequence[str]
    outcome: Outcome | None
    now: Reasoned | None
    no_input: str
    differs: str


@dataclass(frozen=True, slots=True)
class TurnedGroup:
    """Decisions that the change turns in one way.

    ``kind`` is ``allowed``, ``denied`` or ``otherwise`` (denied by other rules). ``callers`` are
    names with their numbers of requests, the most first; ``examples`` are texts with the ids of
    their decisions; ``was`` are the rules that deny without the change.
    """

    kind: str
    operation: str
    requests: int
    callers: Sequence[tuple[str, int]]
    was: Sequence[str]
    would_be: Sequence[str]
    examples: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Turned:
    """Which decisions of the last day a change would turn.

    ``decided`` is the number of decisions that were made once more, the newest, from ``since`` on
    (RFC 3339; empty if there were none). ``is_cut`` says that the last day has more of them than
    were decided. ``skipped`` are decisions without a recorded input or that the plugin refused
    itself. ``notes`` are limits of the comparison.
    """

    decided: int
    since: str
    is_cut: bool
    skipped: int
    counts: Mapping[str, int]
    groups: Sequence[TurnedGroup]
    notes: Sequence[str]


def explained(
    recorded: Recorded, sandbox: Sandbox, explainer: Explainer, granted: Sequence[str] = ()
) -> Explained:
    """Explain a decision by the policy of a sandbox.

    ``granted`` are names of withheld changes to show.
    """
    decision, _ = recorded
    if decision.document is None:
        return _explained(recorded, explainer.sources, None, _no_input(decision.record), "")
    now = reasoned(sandbox, explainer, decision.document, granted)
    difference = _difference(decision.record, now, sandbox)
    return _explained(recorded, explainer.sources, now, "", difference)


def told(recorded: Recorded, reason: str) -> Explained:
    """Show a decision as it was recorded; ``reason`` says why there is no policy to explain it."""
    return _explained(recorded, {}, None, f"The policy cannot be asked: {reason}", "")


def _explained(
    recorded: Recorded,
    sources: Mapping[str, AnnotatedRule],
    now: Reasoned | None,
    no_input: str,
    differs: str,
) -> Explained:
    decision, outcome = recorded
    record = decision.record
    return Explained(
        decision_id=record["decision_id"],
        time=record["timestamp"],
        allow=record["verdict"] == "allow",
        operation=record["operation"],
        method=text(record["method"]),
        resource=text(record["resource"] or ""),
        caller=_caller(record),
        role=record["role"],
        profile=record["profile"],
        revision=record["policy_revision"],
        error=text(record["error"]),
        details=text(record["details"]),
        rules=[
            *(named_rule(named, sources, warns=False) for named in record["rules"]),
            *(named_rule(named, sources, warns=True) for named in record["warnings"]),
        ],
        exceptions=[
            f"{one['rule']} {text(one['field'])}: until {one['expires']}, {text(one['reason'])}"
            for one in record.get("exceptions") or ()
        ],
        outcome=outcome,
        now=now,
        no_input=no_input,
        differs=differs,
    )


def turned(file: Path, recorded: Recorded, sandbox: Sandbox) -> Turned | None:
    """Decide on the last day once more, with the smallest change that allows a decision.

    Without and with the change, the policy in force decides on the same recorded inputs, so that
    the result tells the effect of the change alone. At most ``MAX_REPLAYED`` decisions are made,
    for at most ``MAX_SECONDS``. Returns None if no change allows the request. Raises
    ``SetupError`` if its input was not recorded or the file cannot be read.
    """
    decision, _ = recorded
    if decision.document is None:
        raise SetupError(_no_input(decision.record))
    changes = found_change(sandbox, decision.document)
    if not changes:
        return None
    changed = copy(sandbox)
    changed.config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    span = _LastDay(file, datetime.now(UTC) - _SPAN)
    not_replayed = NotReplayed()
    comparison = compare(replay_decisions(span.newest_first(), changed, sandbox, not_replayed))
    return Turned(
        decided=comparison.requests,
        since=span.oldest,
        is_cut=span.is_cut,
        skipped=not_replayed.refused + not_replayed.unrecorded + not_replayed.undecidable,
        counts={kind: comparison.changed[kind] for kind in KINDS},
        groups=[
            TurnedGroup(
                kind=group.kind,
                operation=group.operation,
                requests=group.requests,
                callers=[(text(name), count) for name, count in group.callers.most_common()],
                was=group.examples[0].was.rules,
                would_be=group.examples[0].would_be.rules,
                examples=[(text(one.title), one.decision_id) for one in group.examples],
            )
            for group in comparison.groups
        ],
        notes=limits(sandbox),
    )


def recorded_decision(
    file: Path, decision_id: str, go_on: Callable[[], None] = lambda: None
) -> Recorded:
    """The decision with an id, and its outcome.

    ``go_on`` is called again and again meanwhile: what it raises ends the search. Raises
    ``NoDecisionError``, and ``SetupError`` if the file cannot be read.
    """
    if not DECISION_ID.fullmatch(decision_id):
        raise NoDecisionError(
            f"{text(decision_id)} is no decision's id: it has 16 hexadecimal digits"
        )
    try:
        links = decision_links(file, decision_id, go_on)
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from error
    found = next(read_recordings(links), None)
    if found is None:
        raise NoDecisionError(f"{file} has no decision {decision_id}")
    ends = [link.document for link in links if is_outcome(link)]
    return found, _outcome(ends[-1]) if ends else None


def _outcome(record: Mapping[str, Any]) -> Outcome:
    return Outcome(record["timestamp"], record["status"], list(map(text, record["created"])))


def _caller(record: Mapping[str, Any]) -> str:
    return text(record["user"] or record["certificate"][:_FINGERPRINT] or NOBODY)


def _no_input(record: Mapping[str, Any]) -> str:
    if not record["profile"]:
        return (
            "The plugin refused this request itself, before it asked the policy: there is no input "
            "to decide on."
        )
    return (
        "The input of this decision was not recorded. Set `audit.inputs: true` and restart the "
        "plugin: of later decisions, the facts and the change that allows them are shown here."
    )


def _difference(record: Mapping[str, Any], now: Reasoned, sandbox: Sandbox) -> str:
    was = record["verdict"] == "allow"
    then, revision = record["policy_revision"], sandbox.bundle.revision
    verdicts = {True: "allows", False: "denies"}
    if was != now.allow:
        return (
            f"The policy here (revision {revision}) {verdicts[now.allow]} it; the one that decided "
            f"(revision {then or 'unknown'}) did not, or saw texts that are not recorded."
        )
    if then != revision:
        return (
            f"Another policy decided (revision {then or 'unknown'}); what follows is by revision "
            f"{revision}, which {verdicts[now.allow]} it too."
        )
    return ""


class _LastDay:
    """The newest decisions of an audit file since a time, at most ``MAX_REPLAYED``.

    ``oldest`` is the time of the oldest decision so far, and ``is_cut`` whether some were left out.
    """

    def __init__(self, file: Path, since: datetime) -> None:
        self._file = file
        self._since = since
        self._end = time.monotonic() + MAX_SECONDS
        self.oldest = ""
        self.is_cut = False

    def newest_first(self) -> Iterator[AuditedDecision]:
        """The decisions; raises ``SetupError`` if a file cannot be read."""
        try:
            decisions = read_recordings(links_newest_first(self._file))
            for count, decision in enumerate(decisions):
                when = decision.record["timestamp"]
                if datetime.fromisoformat(when) < self._since:
                    return
                if count == MAX_REPLAYED or time.monotonic() > self._end:
                    self.is_cut = True
                    return
                self.oldest = when
                yield decision
        except OSError as error:
            raise SetupError(f"{error.filename}: {error.strerror}") from error
