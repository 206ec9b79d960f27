"""Decides on recorded requests again, and pairs the new verdict with the former one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from authz_plugin.decision import Decision, Denial
from authz_plugin.journal.masking import masked
from authz_plugin.journal.recording import NOBODY, AuditedDecision
from authz_plugin.tools.sandbox import BatchDecider, Sandbox

_BATCH_SIZE: Final = 512
_PLUGIN_RULES: Final = frozenset({"request.audit"})
"""Rules by which the plugin denies after the policy has decided."""

UNDECIDABLE_RULES: Final = frozenset({"containers.command"})
"""Rules that cannot be evaluated on a recorded input: words of commands are not recorded."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision on a request.

    ``rules`` are the ids of the rules that denied, ``warnings`` those of the rules in mode warn
    that would have. ``reasons`` are the denials as text.
    """

    allow: bool
    rules: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """A request with its verdict under the former policy (``was``) and the new one.

    ``decision_id`` is empty if the request was not read from an audit file.
    """

    operation: str
    title: str
    caller: str
    decision_id: str
    was: Verdict
    would_be: Verdict


@dataclass(slots=True)
class NotReplayed:
    """The number of recorded decisions that are not made again, by reason.

    ``refused``: the plugin itself refused the request. ``unrecorded``: the audit file does not have
    the input document. ``undecidable``: one of ``UNDECIDABLE_RULES`` denied the request.
    """

    refused: int = 0
    unrecorded: int = 0
    undecidable: int = 0


def replay_decisions(
    decisions: Iterable[AuditedDecision],
    policy: Sandbox,
    former: Sandbox | None,
    not_replayed: NotReplayed,
) -> Iterator[Replayed]:
    """Decide on audited decisions again.

    They are compared with the recorded verdicts, or with the verdicts of the policy ``former``.
    Decisions that are not made again are counted in ``not_replayed``.
    """
    now = BatchDecider(policy, policy.config, _verdict_of)
    then = None if former is None else BatchDecider(former, former.config, _verdict_of)
    replayable = (
        decision
        for decision in decisions
        if not _count_not_replayed(decision, not_replayed, from_record=former is None)
    )
    while batch := list(islice(replayable, _BATCH_SIZE)):
        documents = [decision.document or {} for decision in batch]
        was = list(map(_recorded, batch)) if then is None else then.decide(documents)
        for decision, before, after in zip(batch, was, now.decide(documents), strict=True):
            record = decision.record
            yield Replayed(
                record["operation"],
                f"{record['operation']} {record['resource'] or ''}".rstrip(),
                decision.caller,
                record["decision_id"],
                before,
                after,
            )


def replay_messages(
    messages: Iterable[tuple[str, bytes]], policy: Sandbox, former: Sandbox
) -> Iterator[Replayed]:
    """Decide on AuthZReq messages, each with a title, by two policies."""
    deciders = [BatchDecider(sandbox, sandbox.config, _verdict_of) for sandbox in (former, policy)]
    messages = iter(messages)
    while batch := list(islice(messages, _BATCH_SIZE)):
        read = [policy.read(message) for _, message in batch]
        documents = [document for _, document in read if document is not None]
        before, after = (iter(decider.decide(documents)) for decider in deciders)
        for (title, _), (record, document) in zip(batch, read, strict=True):
            refused = _verdict_from(allow=False, denials=record.denials, warnings=())
            yield Replayed(
                record.operation or "request",
                title,
                record.user or NOBODY,
                "",
                refused if document is None else next(before),
                refused if document is None else next(after),
            )


def _count_not_replayed(
    decision: AuditedDecision, not_replayed: NotReplayed, *, from_record: bool
) -> bool:
    """Count a decision that is not made again, and return whether it is one.

    ``from_record`` is whether its recorded verdict is compared.
    """
    record = decision.record
    rules = frozenset(map(_rule_id, record["rules"]))
    if not record["profile"] or rules & _PLUGIN_RULES:
        not_replayed.refused += 1
    elif decision.document is None:
        not_replayed.unrecorded += 1
    elif from_record and rules & UNDECIDABLE_RULES:
        not_replayed.undecidable += 1
    else:
        return False
    return True


def _recorded(decision: AuditedDecision) -> Verdict:
    record = decision.record
    return Verdict(
        record["verdict"] == "allow",
        _sorted(map(_rule_id, record["rules"])),
        _sorted(map(_rule_id, record["warnings"])),
        (str(record["details"]),) if record["details"] else (),
    )


def _verdict_of(_: Mapping[str, Any], decision: Decision) -> Verdict:
    return _verdict_from(allow=decision.allow, denials=decision.denials, warnings=decision.warnings)


def _verdict_from(*, allow: bool, denials: Iterable[Denial], warnings: Iterable[Denial]) -> Verdict:
    denials = [masked(denial) for denial in denials]
    return Verdict(
        allow,
        _sorted(denial.rule for denial in denials),
        _sorted(warning.rule for warning in warnings),
        tuple(_reason(denial) for denial in denials),
    )


def _reason(denial: Denial) -> str:
    place = f"{denial.field}: " if denial.field else ""
    return f"{place}{denial.message}{f'; {denial.hint}' if denial.hint else ''}"


def _rule_id(named: str) -> str:
    return named.partition(" ")[0]


def _sorted(rules: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(rules)))
