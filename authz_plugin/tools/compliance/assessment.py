"""Assesses controls: the evidence for each, and the status that follows from it.

A check that passed and a finding that is in order are proofs; a rule in force alone is not. A
control without a proof is not met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from authz_plugin.tools.compliance.configured import EffectiveConfig
from authz_plugin.tools.compliance.controls import Control
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.validation.checks import Result

Status = Literal["met", "partly", "not met", "not tried", "outside"]
Kind = Literal["check", "rule", "finding"]
State = Literal["holds", "limited", "missing", "fails"]

STATUSES: Final[Mapping[Status, str]] = {
    "met": "everything that stands for it was tried or looked at, and held",
    "partly": "what was tried held, and what is missing, or beyond a plugin's reach, is named",
    "not met": "something that stands for it failed, or the configuration leaves it open",
    "not tried": "nothing that stands for it was tried",
    "outside": "no plugin can see or stop it",
}
"""Every status with its meaning, as reports print it."""

_MAX_NAMED: Final = 3
_KINDS: Final[Mapping[Kind, tuple[str, str]]] = {
    "check": ("check passed", "checks passed"),
    "finding": ("finding in order", "findings in order"),
    "rule": ("rule in force", "rules in force"),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence: a check of validation, a rule or a finding of doctor, by its id.

    ``state`` is ``holds``, ``limited`` (not for every caller or not always), ``missing`` (not
    tried) or ``fails``. ``text`` describes the result.
    """

    kind: Kind
    id: str
    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """A control with its status, the reason for it in one line, and the evidence."""

    control: Control
    status: Status
    because: str
    evidence: Sequence[Evidence]

    @property
    def is_incomplete(self) -> bool:
        """Whether a piece of the evidence does not hold."""
        return any(piece.state != "holds" for piece in self.evidence)


class Assessor:
    """Assesses controls by validation results, doctor findings and a configuration."""

    def __init__(
        self, results: Sequence[Result], findings: Sequence[Finding], config: EffectiveConfig
    ) -> None:
        self._results = {result.id: result for result in results}
        self._findings = findings
        self._config = config

    def assess(self, control: Control) -> Assessment:
        """Collect the evidence for a control and derive its status."""
        if control.outside:
            return Assessment(control, "outside", control.outside, ())
        proofs = [*self._checks(control), *self._findings_evidence(control)]
        evidence = [*proofs, *self._rules(control)]
        status = _status(control, proofs, evidence)
        return Assessment(control, status, _reason_text(control, status, evidence), evidence)

    def _checks(self, control: Control) -> Iterator[Evidence]:
        known = {**self._config.expectations, **self._results}
        for pattern in control.checks:
            found = [id_ for id_ in known if fnmatchcase(id_, pattern)]
            for id_ in found or [pattern]:
                yield self._check(id_, control.rules)

    def _check(self, id_: str, rules: Sequence[str]) -> Evidence:
        result = self._results.get(id_)
        if result is None:
            return Evidence("check", id_, "missing", "not tried")
        if result.passed is None:
            return Evidence("check", id_, "missing", f"{result.title}: not tried, {result.detail}")
        if not result.passed:
            mismatch = f"expected {result.expected}, was {result.observed}"
            parts = (mismatch if result.expected else "", result.detail)
            text = "; ".join(part for part in parts if part)
            return Evidence("check", id_, "fails", f"{result.title}: FAILED, {text}")
        if result.expected == "allowed":
            by = self._config.opened_by(id_, rules)
            text = f"{result.title}: allowed{f' by {by}' if by else ''}"
            return Evidence("check", id_, "fails", text)
        outcome = "blocked" if result.expected else "passed"
        if result.rules:
            outcome += f" by {', '.join(result.rules)}"
        elsewhere = list(self._config.open_for(id_, rules)) if result.expected else []
        if elsewhere:
            text = f"{result.title}: {outcome}; {'; '.join(elsewhere)}"
            return Evidence("check", id_, "limited", text)
        return Evidence("check", id_, "holds", f"{result.title}: {outcome}")

    def _findings_evidence(self, control: Control) -> Iterator[Evidence]:
        for pattern in control.findings:
            found = [finding for finding in self._findings if fnmatchcase(finding.id, pattern)]
            for finding in found:
                state: State = "holds" if finding.severity == "ok" else "fails"
                yield Evidence("finding", finding.id, state, finding.what)
            if not found:
                yield Evidence("finding", pattern, "missing", "doctor could not look at it")

    def _rules(self, control: Control) -> Iterator[Evidence]:
        for rule in control.rules:
            exemptions = list(self._config.exemptions(rule))
            state: State = "limited" if exemptions else "holds"
            yield Evidence("rule", rule, state, "; ".join(exemptions) or "in force")


def _status(control: Control, proofs: Sequence[Evidence], evidence: Sequence[Evidence]) -> Status:
    states = {piece.state for piece in proofs}
    if "fails" in states:
        return "not met"
    if not states & {"holds", "limited"}:
        return "not tried"
    if control.partly or any(piece.state != "holds" for piece in evidence):
        return "partly"
    return "met"


def _reason_text(control: Control, status: Status, evidence: Sequence[Evidence]) -> str:
    """Return what fails, else what is missing or limited, else the amount of evidence."""
    failing = [piece for piece in evidence if piece.state == "fails"]
    lacking = failing or [piece for piece in evidence if piece.state != "holds"]
    named = [f"{piece.text} [{piece.id}]" for piece in lacking[:_MAX_NAMED]]
    if len(lacking) > _MAX_NAMED:
        named.append(f"and {len(lacking) - _MAX_NAMED} more")
    reason = "; ".join(named) or _evidence_counts(evidence)
    return f"{reason}. {control.partly}" if status == "partly" and control.partly else reason


def _evidence_counts(evidence: Sequence[Evidence]) -> str:
    counted = Counter(piece.kind for piece in evidence)
    return ", ".join(
        f"{counted[kind]} {one if counted[kind] == 1 else many}"
        for kind, (one, many) in _KINDS.items()
        if counted[kind]
    )
