"""Formats a compliance report as one HTML file without references to others.

The page is built with ElementTree, which escapes every text of the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from authz_plugin.decision import visible
from authz_plugin.tools.compliance.assessment import STATUSES, Assessment, Status
from authz_plugin.tools.compliance.controls import Standard
from authz_plugin.tools.compliance.report import COMMANDS, Compliance

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2126; background: #fff;
  max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.8rem; }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #1c2126; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem;
  border-bottom: 1px solid #d5d9dd; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #8a9199; }
th[scope=row] { width: 9rem; }
td.result { width: 6rem; }
small, .note, .evidence { color: #4d565f; font-weight: normal; }
td p { margin: 0 0 .3rem; }
li { margin: .15rem 0; }
b { display: inline-block; padding: 0 .55rem; border: 1px solid; border-radius: .7rem;
  font-size: .85rem; white-space: nowrap; }
b.met { color: #0b5a2b; background: #e2f4e8; }
b.partly { color: #6b4700; background: #fdf0d2; }
b.not-met { color: #8c1420; background: #fde5e7; }
b.not-tried, b.outside { color: #424a52; background: #eceff1; }
.evidence { margin: 0; padding-left: 1.1rem; font-size: .85rem; }
.evidence.long { columns: 2; column-gap: 2rem; }
.fails { color: #8c1420; }
.limited, .missing { color: #6b4700; }
code { font: .92em ui-monospace, monospace; }
@media print {
  body { font-size: 11px; margin: 0; padding: 0; max-width: none; }
  h2, h3 { break-after: avoid; }
  thead { display: table-header-group; }
  li { break-inside: avoid; }
}
"""
_MANY_PIECES: Final = 12


def to_html(report: Compliance) -> str:
    """Return the report as an HTML page."""
    title = f"Compliance of {report.examination.host or 'this host'}"
    page = ET.Element("html", lang="en")
    head = _add(page, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    ET.SubElement(
        head,
        "meta",
        {
            "http-equiv": "Content-Security-Policy",
            "content": "default-src 'none'; style-src 'unsafe-inline'",
        },
    )
    _add(head, "title", title)
    ET.SubElement(head, "style").text = _STYLE
    body = _add(page, "body")
    _add(body, "h1", title)
    facts = _table(body, [])
    for name, text in report.facts():
        row = _add(facts, "tr")
        _add(row, "th", name, scope="row")
        _add(row, "td", text)
    _results(body, report)
    _shortfalls(body, report)
    for one in report.standards:
        _standard(body, report, one)
    _closing(body)
    return f"<!DOCTYPE html>\n{ET.tostring(page, encoding='unicode', method='html')}\n"


def _results(body: ET.Element, report: Compliance) -> None:
    _add(body, "h2", "Results")
    rows = _table(body, ["Standard", *STATUSES])
    for one in report.standards:
        row = _add(rows, "tr")
        _add(row, "th", one.title, scope="row")
        for count in report.counts(one.name).values():
            _add(row, "td", str(count))
    meanings = _add(body, "ul")
    for status, meaning in STATUSES.items():
        item = _add(meanings, "li")
        _badge(item, status).tail = f" {meaning}"


def _shortfalls(body: ET.Element, report: Compliance) -> None:
    """Add what is not met, worst first, before the tables of all controls."""
    judged = [(one, found) for one in report.standards for found in report.judged[one.name]]
    worst_first: tuple[Status, ...] = ("not met", "partly", "not tried")
    _add(body, "h2", "What is not met")
    if not any(found.status in worst_first for _, found in judged):
        _add(body, "p", "Nothing: every control within a plugin's reach is met.")
        return
    rows = _table(body, ["Standard", "Control", "", "Result", "Because"])
    for status in worst_first:
        for one, found in judged:
            if found.status == status:
                row = _add(rows, "tr")
                _add(row, "td", one.title)
                _add(row, "th", found.control.id, scope="row")
                _add(row, "td", found.control.title)
                _badge(_add(row, "td", kind="result"), status)
                _add(row, "td", found.because)


def _standard(body: ET.Element, report: Compliance, one: Standard) -> None:
    _add(body, "h2", one.title)
    _add(body, "p", one.about)
    for part in one.parts:
        _add(body, "h3", part.title)
        rows = _table(body, [*one.columns, "Result", "Because, and evidence"])
        for judged in report.of(one.name, part):
            _control(_add(rows, "tr"), judged)


def _control(row: ET.Element, judged: Assessment) -> None:
    control = judged.control
    number = _add(row, "th", control.id, scope="row")
    if control.also:
        _add(number, "br")
        _add(number, "small", f"also {control.also}")
    _add(row, "td", control.title)
    _badge(_add(row, "td", kind="result"), judged.status)
    cell = _add(row, "td")
    _add(cell, "p", judged.because)
    if control.note:
        _add(cell, "p", control.note, kind="note")
    if judged.evidence:
        long = " long" if len(judged.evidence) > _MANY_PIECES else ""
        pieces = _add(cell, "ul", kind=f"evidence{long}")
        for piece in judged.evidence:
            item = _add(pieces, "li", f"{piece.kind} ", kind=piece.state)
            mark = "" if piece.state == "holds" else f"{piece.state}, "
            _add(item, "code", piece.id).tail = visible(f": {mark}{piece.text}")


def _closing(body: ET.Element) -> None:
    _add(body, "h2", "See for yourself")
    _add(body, "p", "With the same settings, on the host itself:")
    rows = _table(body, ["Command", "What it shows"])
    for command, what in COMMANDS.items():
        row = _add(rows, "tr")
        _add(_add(row, "td"), "code", command)
        _add(row, "td", what)


def _table(body: ET.Element, head: Sequence[str]) -> ET.Element:
    """Add a table with a header row, if ``head`` is not empty, and return its body."""
    table = _add(body, "table")
    if head:
        row = _add(_add(table, "thead"), "tr")
        for name in head:
            _add(row, "th", name)
    return _add(table, "tbody")


def _badge(parent: ET.Element, status: Status) -> ET.Element:
    return _add(parent, "b", status, kind=status.replace(" ", "-"))


def _add(
    parent: ET.Element, tag: str, text: str = "", *, kind: str = "", **attributes: str
) -> ET.Element:
    """Add an element with a text and return it; ``kind`` is its class."""
    element = ET.SubElement(parent, tag, {**({"class": kind} if kind else {}), **attributes})
    element.text = visible(text) or None
    return element
