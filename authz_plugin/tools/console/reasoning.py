"""A decision of the sandbox as the pages show it: facts, rules with their Rego, and the change.

Texts of clients are on one line, without invisible characters, and secrets of a known form are
masked. The change is withheld exactly where ``explain`` withholds it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from authz_plugin import policy
from authz_plugin.decision import Denial, visible
from authz_plugin.journal.masking import masked_text
from authz_plugin.rules import RULES, AnnotatedRule
from authz_plugin.tools.config_changes.gate import Gate
from authz_plugin.tools.explanation import report
from authz_plugin.tools.explanation.candidates import Change, with_changes
from authz_plugin.tools.explanation.changes import (
    SearchTooLongError,
    marker_of,
    smallest_change,
)
from authz_plugin.tools.explanation.reasons import Explainer, Reason
from authz_plugin.tools.rule_sources import lines_of
from authz_plugin.tools.sandbox import Judgement, Sandbox, Subject

SEARCH_SECONDS: Final = 10.0
"""The time that the search for a change may take."""

_MAX_FACTS: Final = 200
_MAX_RULES: Final = 50
_LONGEST: Final = 2000
"""Characters of a text."""


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule that denied, or only ``warns``.

    ``message`` says what is not allowed and ``hint`` what is; ``remedy`` is what the client can do.
    ``place`` is ``FILE:LINE`` and ``rego`` the lines of the rule with their numbers. A refusal of
    the plugin itself has no ``title``. ``dangers`` are what it makes possible to allow the value.
    Fields whose value is not known are empty.
    """

    rule: str
    field: str
    value: str
    message: str
    hint: str
    detail: str
    warns: bool
    title: str
    description: str
    remedy: str
    place: str
    rego: Sequence[tuple[int, str]]
    dangers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Withheld:
    """A part of a change that is withheld: ``grant`` is its name, ``means`` what it makes possible,
    and ``role`` for whom, empty for callers without a role."""

    grant: str
    means: str
    role: str


@dataclass(frozen=True, slots=True)
class ShownChange:
    """The smallest change of the configuration that allows a request.

    ``state`` is ``found``, ``withheld`` (only ``withheld`` is filled in), ``none`` if no change
    allows the request, or ``too_long`` if the search was given up. ``words`` describe the change,
    ``dangers`` are what was granted by name, ``settings`` the keys of the settings file as YAML.
    """

    state: Literal["found", "withheld", "none", "too_long"]
    words: Sequence[str] = ()
    dangers: Sequence[str] = ()
    settings: str = ""
    withheld: Sequence[Withheld] = ()


@dataclass(frozen=True, slots=True)
class Reasoned:
    """A decision of the policy in force.

    ``facts`` are kinds and texts, None if the plugin refuses the request before it asks the policy;
    ``more_facts`` and ``more_rules`` are the numbers of those that are left out. ``change`` is None
    for an allowed request.
    """

    allow: bool
    operation: str
    role: str
    profile: str
    revision: str
    message: str
    facts: Sequence[tuple[str, str]] | None
    more_facts: int
    rules: Sequence[ShownRule]
    more_rules: int
    change: ShownChange | None


def text(value: object) -> str:
    """A text of a client for a page: one line, secrets masked, not longer than ``_LONGEST``."""
    shown = visible(masked_text(str(value)))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def reasoned(
    sandbox: Sandbox, explainer: Explainer, subject: Subject, granted: Sequence[str] = ()
) -> Reasoned:
    """Decide on a request and say why; ``granted`` are names of withheld changes to show."""
    judgement = sandbox.judge(subject)
    document, record = judgement.document, judgement.record
    reasons = explainer.reasons(judgement)
    facts = None if document is None else [(kind, text(t)) for kind, t in report.facts_of(document)]
    return Reasoned(
        allow=judgement.allow,
        operation=record.operation,
        role=record.role,
        profile=record.profile,
        revision=record.policy_revision,
        message=text(judgement.message),
        facts=None if facts is None else facts[:_MAX_FACTS],
        more_facts=0 if facts is None else max(len(facts) - _MAX_FACTS, 0),
        rules=[_rule(sandbox, judgement, reason) for reason in reasons[:_MAX_RULES]],
        more_rules=max(len(reasons) - _MAX_RULES, 0),
        change=None if judgement.allow else _change(sandbox, judgement, subject, granted),
    )


def found_change(sandbox: Sandbox, subject: Subject) -> Sequence[Change] | None:
    """The smallest change that allows a request, None if there is none.

    Raises ``SearchTooLongError`` after ``SEARCH_SECONDS``.
    """
    return smallest_change(sandbox, [subject], time.monotonic() + SEARCH_SECONDS)


def _rule(sandbox: Sandbox, judgement: Judgement, reason: Reason) -> ShownRule:
    denial = reason.denial
    value = denial.value if isinstance(denial.value, str) else json.dumps(denial.value)
    dangers: set[str] = set()
    if judgement.document is not None:
        marks = marker_of(sandbox, judgement, denial, sandbox.config).of_value()
        dangers = {visible(mark.danger) for mark in marks if mark.danger}
    shown = _shown(
        denial, "" if denial.value is None else text(value), reason.source, warns=reason.warns
    )
    return replace(shown, dangers=sorted(dangers))


def named_rule(
    named: str, sources: Mapping[str, AnnotatedRule], *, warns: bool, details: str = ""
) -> ShownRule:
    """A rule that a record names (``"mounts.source HostConfig.Binds[0]"``), without its value."""
    rule, _, field = named.partition(" ")
    denial = Denial(rule, field, None, details, "")
    return _shown(denial, "", sources.get(rule), warns=warns)


def _shown(denial: Denial, value: str, source: AnnotatedRule | None, *, warns: bool) -> ShownRule:
    rule = RULES.get(denial.rule) if source is None else source.rule
    return ShownRule(
        rule=denial.rule,
        field=text(denial.field),
        value=value,
        message=text(denial.message),
        hint=text(denial.hint),
        detail=text(denial.detail),
        warns=warns,
        title="" if rule is None else rule.title,
        description="" if rule is None else rule.description,
        remedy="" if rule is None else rule.remedy,
        place="" if source is None else _place(source),
        rego=[] if source is None else lines_of(source),
    )


def _place(source: AnnotatedRule) -> str:
    """File and line; a file of the shipped policies without the folder of these."""
    file = Path(source.file)
    if file.is_relative_to(policy.SHIPPED):
        file = file.relative_to(policy.SHIPPED)
    return f"{file}:{source.row}"


def _change(
    sandbox: Sandbox, judgement: Judgement, subject: Subject, granted: Sequence[str]
) -> ShownChange:
    if judgement.document is None:
        return ShownChange("none")
    try:
        changes = found_change(sandbox, subject)
    except SearchTooLongError:
        return ShownChange("too_long")
    return _shown_change(changes, Gate(granted))


def _shown_change(changes: Sequence[Change] | None, gate: Gate) -> ShownChange:
    document: dict[str, Any] | None = report.change_document(changes, gate)
    if document is None or changes is None:
        return ShownChange("none")
    if document["withheld"]:
        return ShownChange(
            "withheld",
            withheld=[
                Withheld(visible(one["grant"]), visible(one["means"]), one["role"])
                for one in document["withheld"]
            ],
        )
    return ShownChange(
        "found",
        words=[visible(words) for words in document["words"]],
        dangers=sorted({visible(d) for grant in document["grants"] for d in grant["means"]}),
        settings="\n".join(map(visible, report.yaml_lines(with_changes({}, changes)))),
    )
