"""Formats a compliance report as Markdown; every text of the report is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from authz_plugin.decision import visible
from authz_plugin.tools.compliance.assessment import STATUSES, Assessment
from authz_plugin.tools.compliance.controls import Control, Standard
from authz_plugin.tools.compliance.report import COMMANDS, Compliance

_SPECIAL: Final = {
    **{character: f"\\{character}" for character in "\\`*_[]|~"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
}
"""Characters with a meaning in Markdown, and how they are escaped."""


def to_markdown(report: Compliance) -> str:
    """Return the report as one Markdown document."""
    return "\n".join(_lines(report)) + "\n"


def escaped(text: str) -> str:
    """Return a text that Markdown renders literally on one line."""
    return "".join(_SPECIAL.get(character, character) for character in visible(text))


def _lines(report: Compliance) -> Iterator[str]:
    yield f"# Compliance of {escaped(report.examination.host or 'this host')}"
    yield ""
    yield from _table(["", ""], [[name, escaped(text)] for name, text in report.facts()])
    yield ""
    yield "## Results"
    yield ""
    rows = [
        [escaped(one.title), *map(str, report.counts(one.name).values())]
        for one in report.standards
    ]
    yield from _table(["Standard", *STATUSES], rows)
    yield ""
    for status, meaning in STATUSES.items():
        yield f"- **{status}**: {meaning}"
    for one in report.standards:
        yield from _standard(report, one)
    yield ""
    yield "## See for yourself"
    yield ""
    yield "With the same settings, on the host itself:"
    yield ""
    yield from _table(["Command", ""], [[f"`{line}`", what] for line, what in COMMANDS.items()])


def _standard(report: Compliance, one: Standard) -> Iterator[str]:
    yield from ("", f"## {escaped(one.title)}", "", escaped(one.about))
    for part in one.parts:
        judged = report.of(one.name, part)
        yield from ("", f"### {escaped(part.title)}", "")
        rows = [
            [_number(item.control), escaped(item.control.title), item.status, escaped(item.because)]
            for item in judged
        ]
        yield from _table([*one.columns, "Result", "Because"], rows)
        yield from ("", "Evidence:", "")
        for item in judged:
            if item.evidence:
                yield from _evidence(item)


def _evidence(item: Assessment) -> Iterator[str]:
    control = item.control
    note = f" {escaped(control.note)}" if control.note else ""
    yield f"- {_number(control)}: {escaped(control.title)}. **{item.status}**{note}"
    for piece in item.evidence:
        mark = "" if piece.state == "holds" else f"**{piece.state}**, "
        yield f"  - {piece.kind} {escaped(piece.id)}: {mark}{escaped(piece.text)}"


def _number(control: Control) -> str:
    return escaped(f"{control.id} (also {control.also})" if control.also else control.id)


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
