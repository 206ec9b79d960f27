"""Formats the results of a validation as text, as JSON and as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from authz_plugin.tools.validation.checks import GROUPS, Group, Result


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a validation.

    ``endpoint`` is the URL of the Docker API, ``engine`` dockerd's ``Server`` header, ``profile``
    and ``policy_revision`` name the policy. ``caller`` is the user that dockerd knows this program
    by, empty for none. ``time`` is when the validation ended.
    """

    endpoint: str
    engine: str
    profile: str
    policy_revision: str
    results: Sequence[Result]
    caller: str = ""
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def run(self) -> list[Result]:
        """The checks that were carried out."""
        return [result for result in self.results if result.passed is not None]

    @property
    def failed(self) -> list[Result]:
        """The checks that failed."""
        return [result for result in self.run if not result.passed]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def of(self, group: Group) -> list[Result]:
        """Return the checks of a group."""
        return [result for result in self.results if result.group == group]

    def summary(self) -> dict[str, int]:
        """Return the numbers of checks by result, with the keys that ``--json`` prints."""
        return {
            "run": len(self.run),
            "passed": len(self.run) - len(self.failed),
            "failed": len(self.failed),
            "skipped": len(self.results) - len(self.run),
            "correctly_blocked": sum(result.correctly_blocked for result in self.results),
            "incorrectly_allowed": sum(result.incorrectly_allowed for result in self.results),
        }

    def to_document(self) -> dict[str, Any]:
        """Return the report as the JSON object that ``--json`` prints."""
        return {
            "version": 1,
            "time": self.time.isoformat(timespec="seconds"),
            "endpoint": self.endpoint,
            "engine": self.engine,
            "caller": self.caller,
            "profile": self.profile,
            "policy_revision": self.policy_revision,
            "passed": self.passed,
            "summary": self.summary(),
            "checks": [asdict(result) for result in self.results],
        }

    def to_junit(self) -> str:
        """Return the report as JUnit XML with a test suite for each group."""
        root = ET.Element("testsuites", name="opa-authz validate")
        for group in GROUPS:
            results = self.of(group)
            counts = {
                "tests": len(results),
                "failures": sum(result.passed is False for result in results),
                "skipped": sum(result.passed is None for result in results),
            }
            suite = ET.SubElement(root, "testsuite", name=group)
            suite.attrib.update({name: str(count) for name, count in counts.items()})
            for result in results:
                _add_case(suite, result)
        text: str = ET.tostring(root, encoding="unicode", xml_declaration=True)
        return text


def lines(report: Report, *, verbose: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the report as lines of text, each with a style of ``cli.terminal``.

    Only failed checks have lines of their own, unless ``verbose``.
    """
    yield "head", f"Docker API   {report.endpoint} ({report.engine})"
    yield "head", f"Policy       profile {report.profile}, revision {report.policy_revision}"
    for group in GROUPS:
        yield "", ""
        results = report.of(group)
        yield "head", f"{group.capitalize()} ({len(results)})"
        for result in results:
            if verbose or result.passed is False:
                yield from _line(result)
        if not verbose:
            yield from _folded(results)
    if not verbose:
        yield "", ""
        yield "dim", "--verbose lists every check."
    yield from _summary_lines(report)


def _folded(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """One line each for the checks that passed and for those that were not tried."""
    passed = sum(result.passed is True for result in results)
    skipped = sum(result.passed is None for result in results)
    if passed:
        yield "good", f"  ✓ {passed} as expected"
    if skipped:
        yield "dim", f"  - {skipped} not tried"


def _line(result: Result) -> Iterator[tuple[str, str]]:
    rules = f"  [{', '.join(result.rules)}]" if result.rules else ""
    if result.passed is None:
        yield "dim", f"  - {result.title}: not tried, {result.detail}"
    elif result.passed:
        outcome = {"allowed": "allowed", "denied": "blocked"}.get(result.observed, "")
        yield "good", f"  ✓ {result.title}{f': {outcome}' if outcome else ''}{rules}"
    else:
        mismatch = f": expected {result.expected}, was {result.observed}" if result.expected else ""
        yield "bad", f"  ✗ {result.title}{mismatch}{rules}"
        yield "bad", f"      {result.detail}"


def _summary_lines(report: Report) -> Iterator[tuple[str, str]]:
    bar, summary = "=" * 42, report.summary()
    yield "", ""
    for text in (bar, "Summary", bar):
        yield "head", text
    yield "", f"Total checks run: {summary['run']}"
    yield "", f"Passed: {summary['passed']}"
    yield "", f"Failed: {summary['failed']}"
    if summary["skipped"]:
        yield "", f"Not tried: {summary['skipped']}"
    yield "", ""
    yield "", "Security:"
    yield "", f"  Correctly blocked: {summary['correctly_blocked']}"
    yield "", f"  Incorrectly allowed: {summary['incorrectly_allowed']}"
    yield "", ""
    if report.passed:
        yield "good", "✓ All checks passed: this daemon keeps what its configuration promises"
    elif any(result.incorrectly_allowed for result in report.results):
        yield "bad", "✗ NOT SAFE: this daemon allows what its configuration denies"
    else:
        yield "bad", "✗ Checks failed: this daemon does not do what its configuration says"
    for group in GROUPS:
        failed = sum(result.passed is False for result in report.of(group))
        state = f"{failed} FAILED" if failed else _STATES[group]
        yield "bad" if failed else "good", f"  - {group.capitalize()}: {state}"


_STATES: dict[Group, str] = {
    "prerequisites": "MET",
    "allowed operations": "WORKING",
    "denied operations": "BLOCKED",
    "security boundaries": "ENFORCED",
    "settings": "SOUND",
}


def _add_case(suite: ET.Element, result: Result) -> None:
    case = ET.SubElement(suite, "testcase", classname=result.group, name=result.title)
    if result.passed is None:
        ET.SubElement(case, "skipped", message=result.detail)
    elif not result.passed:
        mismatch = f"expected {result.expected}, was {result.observed}; " if result.expected else ""
        ET.SubElement(case, "failure", message=f"{mismatch}{result.detail}")
