"""Why: one request with everything that its decision was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz_plugin.decision import Denial
from authz_plugin.rules import AnnotatedRule
from authz_plugin.tools.explanation.changes import Change, smallest_change
from authz_plugin.tools.rule_sources import rule_sources
from authz_plugin.tools.sandbox import Judgement, Sandbox, Subject


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that spoke: ``source`` is None for what the plugin itself refuses, ``warns`` is
    whether it lets the request pass all the same."""

    denial: Denial
    source: AnnotatedRule | None
    warns: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One request explained: ``title`` names it, ``changes`` would allow it if it is denied
    (None: nothing would)."""

    title: str
    judgement: Judgement
    reasons: Sequence[Reason]
    changes: Sequence[Change] | None


class Explainer:
    """Explains requests by one policy."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.sources = rule_sources(sandbox.opa, sandbox.sources)

    def explain(self, title: str, subject: Subject) -> Explanation:
        """Explain a request."""
        judgement = self._sandbox.judge(subject)
        record = judgement.record
        reasons = [
            *(
                Reason(denial, self.sources.get(denial.rule), warns=False)
                for denial in record.denials
            ),
            *(
                Reason(denial, self.sources.get(denial.rule), warns=True)
                for denial in record.warnings
            ),
        ]
        changes: list[Change] | None = []
        if not judgement.allow:
            changes = smallest_change(self._sandbox, [subject])
        return Explanation(title, judgement, reasons, changes)

    def change_for(self, subjects: Sequence[Subject]) -> Sequence[Change] | None:
        """The smallest change that allows all of some requests, or None if there is none."""
        return smallest_change(self._sandbox, subjects)
