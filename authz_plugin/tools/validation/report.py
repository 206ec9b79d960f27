"""How a validation went: for people, for programs (JSON) and for CI (JUnit XML)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from authz_plugin.tools.validation.checks import GROUPS, Group, Result


@dataclass(frozen=True, slots=True)
class Report:
    """A validation that was carried out: where, against what, its checks, as whom (the name that
    dockerd has for the caller, or none) and when."""

    endpoint: str
    engine: str
    profile: str
    policy_revision: str
    results: Sequence[Result]
    caller: str = ""
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def run(self) -> list[Result]:
        """The checks that could be tried."""
        return [result for result in self.results if result.passed is not None]

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.run if not result.passed]

    @property
    def passed(self) -> bool:
        return not self.failed

    def of(self, group: Group) -> list[Result]:
        return [result for result in self.results if result.group == group]

    def summary(self) -> dict[str, int]:
        """The totals."""
        return {
            "run": len(self.run),
            "passed": len(self.run) - len(self.failed),
            "failed": len(self.failed),
            "skipped": len(self.results) - len(self.run),
            "correctly_blocked": sum(result.correctly_blocked for result in self.results),
            "incorrectly_allowed": sum(result.incorrectly_allowed for result in self.results),
        }

    def to_document(self) -> dict[str, Any]:
        """The report as ``--json`` prints it."""
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
        """The report as JUnit XML: a suite for each group."""
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


def lines(report: Report) -> Iterator[tuple[str, str]]:
    """The report for people, line by line, each with how it is meant: ``"good"``, ``"bad"``,
    ``"dim"``, ``"head"`` or nothing."""
    yield "head", f"Docker API   {report.endpoint} ({report.engine})"
    yield "head", f"Policy       profile {report.profile}, revision {report.policy_revision}"
    for group in GROUPS:
        yield "", ""
        yield "head", f"{group.capitalize()} ({len(report.of(group))})"
        for result in report.of(group):
            yield from _line(result)
    yield from _closing(report)


def _line(result: Result) -> Iterator[tuple[str, str]]:
    rules = f"  [{', '.join(result.rules)}]" if result.rules else ""
    if result.passed is None:
        yield "dim", f"  - {result.title}: not tried, {result.detail}"
    elif result.passed:
        outcome = {"allowed": "allowed", "denied": "blocked"}.get(result.observed, "")
        yield "good", f"  ✓ {result.title}{f': {outcome}' if outcome else ''}{rules}"
    else:
        said = f": expected {result.expected}, was {result.observed}" if result.expected else ""
        yield "bad", f"  ✗ {result.title}{said}{rules}"
        yield "bad", f"      {result.detail}"


def _closing(report: Report) -> Iterator[tuple[str, str]]:
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
        said = f"expected {result.expected}, was {result.observed}; " if result.expected else ""
        ET.SubElement(case, "failure", message=f"{said}{result.detail}")
