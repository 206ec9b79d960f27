"""Explains decisions: a request with its facts, its rules and the change that would allow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz_plugin.decision import Denial
from authz_plugin.rules import AnnotatedRule
from authz_plugin.tools.explanation.candidates import Change
from authz_plugin.tools.explanation.changes import smallest_change
from authz_plugin.tools.rule_sources import rule_sources
from authz_plugin.tools.sandbox import Judgement, Sandbox, Subject


@dataclass(frozen=True, slots=True)
class Reason:
    """A denial, or a warning if ``warns`` is true.

    ``source`` is None for refusals of the plugin itself, which are not rules of the policy.
    """

    denial: Denial
    source: AnnotatedRule | None
    warns: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of one request.

    ``changes`` are those that would allow it: empty if it is allowed, None if there are none.
    """

    title: str
    judgement: Judgement
    reasons: Sequence[Reason]
    changes: Sequence[Change] | None


class Explainer:
    """Explains requests under one policy; ``sources`` are its rules by their ids."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.sources = rule_sources(sandbox.find_opa, sandbox.sources)

    def explain(self, title: str, subject: Subject) -> Explanation:
        """Decide on a request and explain the decision; ``title`` names the request."""
        judgement = self._sandbox.judge(subject)
        changes: list[Change] | None = []
        if not judgement.allow:
            changes = smallest_change(self._sandbox, [subject])
        return Explanation(title, judgement, self.reasons(judgement), changes)

    def reasons(self, judgement: Judgement) -> list[Reason]:
        """Return the denials and then the warnings of a decision, with their rules."""
        record = judgement.record
        return [
            *(
                Reason(denial, self.sources.get(denial.rule), warns=False)
                for denial in record.denials
            ),
            *(
                Reason(denial, self.sources.get(denial.rule), warns=True)
                for denial in record.warnings
            ),
        ]

    def change_for(self, subjects: Sequence[Subject]) -> Sequence[Change] | None:
        """Return the smallest change that allows all requests, or None if none was found."""
        return smallest_change(self._sandbox, subjects)
