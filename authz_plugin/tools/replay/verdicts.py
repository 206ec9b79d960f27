"""What was decided of a request and what would be: read off records, or asked of a policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from authz_plugin.decision import Decision, Denial
from authz_plugin.journal.masking import masked
from authz_plugin.journal.recording import NOBODY, AuditedDecision
from authz_plugin.tools.sandbox import Sandbox, Stream

_AT_ONCE: Final = 512
_ITSELF: Final = frozenset({"request.audit"})
"""Rules by which the plugin denies what a policy has decided."""

BLIND: Final = frozenset({"containers.command"})
"""Rules that a recorded input cannot tell about: words of commands are not recorded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision: ``rules`` denied, ``warnings`` would have; ``reasons`` are texts for people."""

    allow: bool
    rules: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """One request before and after. ``decision_id`` is empty for one that was never decided."""

    operation: str
    title: str
    caller: str
    decision_id: str
    was: Answer
    would_be: Answer


@dataclass(slots=True)
class Left:
    """Decisions that are not made again: the plugin ``refused`` the request itself, no input is
    recorded of it, or the rule that denied reads what no recorded input holds."""

    refused: int = 0
    unrecorded: int = 0
    blind: int = 0


def of_trail(
    recordings: Iterable[AuditedDecision], policy: Sandbox, former: Sandbox | None, left: Left
) -> Iterator[Pair]:
    """Recorded decisions beside those of a policy; or those of two policies, if a former one is
    given. What is not decided again is counted in ``left``."""
    now = Stream(policy, policy.config, _answer)
    then = None if former is None else Stream(former, former.config, _answer)
    kept = (r for r in recordings if not _is_left(r, left, told=former is None))
    while some := list(islice(kept, _AT_ONCE)):
        documents = [recording.document or {} for recording in some]
        was = list(map(_recorded, some)) if then is None else then.decide(documents)
        for recording, before, after in zip(some, was, now.decide(documents), strict=True):
            record = recording.record
            yield Pair(
                record["operation"],
                f"{record['operation']} {record['resource'] or ''}".rstrip(),
                recording.caller,
                record["decision_id"],
                before,
                after,
            )


def of_messages(
    messages: Iterable[tuple[str, bytes]], policy: Sandbox, former: Sandbox
) -> Iterator[Pair]:
    """dockerd's messages, each with a title, decided by two policies."""
    streams = [Stream(sandbox, sandbox.config, _answer) for sandbox in (former, policy)]
    messages = iter(messages)
    while some := list(islice(messages, _AT_ONCE)):
        read = [policy.read(message) for _, message in some]
        documents = [document for _, document in read if document is not None]
        before, after = (iter(stream.decide(documents)) for stream in streams)
        for (title, _), (record, document) in zip(some, read, strict=True):
            refused = _told(allow=False, denials=record.denials, warnings=())
            yield Pair(
                record.operation or "request",
                title,
                record.user or NOBODY,
                "",
                refused if document is None else next(before),
                refused if document is None else next(after),
            )


def _is_left(recording: AuditedDecision, left: Left, *, told: bool) -> bool:
    """Whether a decision is not made again; ``told`` says that what was is read off its record."""
    record = recording.record
    rules = frozenset(map(_rule, record["rules"]))
    if not record["profile"] or rules & _ITSELF:
        left.refused += 1
    elif recording.document is None:
        left.unrecorded += 1
    elif told and rules & BLIND:
        left.blind += 1
    else:
        return False
    return True


def _recorded(recording: AuditedDecision) -> Answer:
    record = recording.record
    return Answer(
        record["verdict"] == "allow",
        _sorted(map(_rule, record["rules"])),
        _sorted(map(_rule, record["warnings"])),
        (str(record["details"]),) if record["details"] else (),
    )


def _answer(_: Mapping[str, Any], decision: Decision) -> Answer:
    return _told(allow=decision.allow, denials=decision.denials, warnings=decision.warnings)


def _told(*, allow: bool, denials: Iterable[Denial], warnings: Iterable[Denial]) -> Answer:
    denials = [masked(denial) for denial in denials]
    return Answer(
        allow,
        _sorted(denial.rule for denial in denials),
        _sorted(warning.rule for warning in warnings),
        tuple(_reason(denial) for denial in denials),
    )


def _reason(denial: Denial) -> str:
    place = f"{denial.field}: " if denial.field else ""
    return f"{place}{denial.message}{f'; {denial.hint}' if denial.hint else ''}"


def _rule(named: str) -> str:
    return named.partition(" ")[0]


def _sorted(rules: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(rules)))
