"""Runs the tests of rules of the operator's own, with coverage, and reports the results."""

from __future__ import annotations

import json
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from authz_plugin.engine.binary import Opa
from authz_plugin.engine.builtins import NETWORK
from authz_plugin.errors import PolicyError, SettingsError
from authz_plugin.tools import rule_library
from authz_plugin.tools.rule_failures import Failure, Failures

_NOT_IN_XML: Final = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Case:
    """The result of a test, or of one case of a test that is a table of cases.

    ``package`` is the Rego package, ``name`` the test and, after a colon, the case. ``failure`` is
    None if it passed; ``seconds`` is the duration of the whole test.
    """

    package: str
    name: str
    seconds: float
    failure: Failure | None

    def __str__(self) -> str:
        return f"{self.package}.{self.name}"


@dataclass(frozen=True, slots=True)
class TestReport:
    """The result of the tests in a folder.

    ``uncovered`` are the lines that no test evaluates, as ``FILE:LINE``; it is None if coverage was
    not measured. ``faults`` are the reasons for which the rules do not compile. ``sending`` are the
    builtins in the rules that can send requests; in the tests they send none.
    """

    cases: tuple[Case, ...]
    uncovered: tuple[str, ...] | None = None
    faults: tuple[str, ...] = ()
    sending: tuple[str, ...] = ()

    @property
    def failed(self) -> list[Case]:
        return [case for case in self.cases if case.failure is not None]

    @property
    def passed(self) -> int:
        """The number of cases that passed."""
        return len(self.cases) - len(self.failed)

    @property
    def is_good(self) -> bool:
        """Whether a test passed, none failed, and no line is known not to be reached."""
        return bool(self.passed) and not self.failed and not self.uncovered

    def to_document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        return {
            "passed": self.passed,
            "failed": [str(case) for case in self.failed],
            "failures": [
                {"test": str(case), **asdict(case.failure)} for case in self.failed if case.failure
            ],
            "uncovered": self.uncovered or (),
            "faults": self.faults,
            "sending": self.sending,
        }

    def to_junit(self) -> str:
        """Return the report as JUnit XML with a test suite for each package."""
        root = ET.Element("testsuites", name="opa-authz policy test")
        for package in dict.fromkeys(case.package for case in self.cases):
            cases = [case for case in self.cases if case.package == package]
            suite = _suite(root, package, len(cases), sum(c.failure is not None for c in cases))
            for case in cases:
                element = _case(suite, package, case.name)
                element.set("time", f"{case.seconds:.6f}")
                if case.failure is not None:
                    _fail(element, list(case.failure.lines()))
        if self.faults:
            suite = _suite(root, "compilation", 1, 1)
            _fail(_case(suite, "compilation", "the rules compile"), self.faults)
        if self.uncovered is not None:
            suite = _suite(root, "coverage", 1, int(bool(self.uncovered)))
            element = _case(suite, "coverage", "every line of a rule is reached")
            if self.uncovered:
                _fail(element, [f"no test reaches {place}" for place in self.uncovered])
        text: str = ET.tostring(root, encoding="unicode", xml_declaration=True)
        return text


def test(opa: Opa, folder: Path, pattern: str) -> TestReport:
    """Run the tests in a folder, beside the library.

    ``pattern`` is a regular expression of OPA, or empty: only tests with such a name are run.
    Coverage is measured if all tests are run and none fails. Raises ``PolicyError`` if the rules do
    not compile, ``SetupError`` if the library cannot be made, and ``SettingsError`` for a wrong
    pattern. Tests send no requests: a builtin that would fails.
    """
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as scratch:
        rule_library.write(Path(scratch))
        options = [str(Path(scratch, rule_library.POLICIES)), str(folder), "--format", "json"]
        chosen = ["--run", pattern] if pattern else []
        offline = _without_network(opa, Path(scratch, "capabilities.json"))
        options += offline
        run = opa.run("test", *options, "--var-values", *chosen)
        try:
            results: Sequence[Mapping[str, Any]] = json.loads(run.stdout) or []
        except json.JSONDecodeError:
            text = (run.stderr or run.stdout).strip()
            if pattern and "error parsing regexp" in text:
                raise SettingsError("--run", "", text) from None
            raise PolicyError(text) from None
        read = Failures(opa, offline)
        cases = tuple(case for result in results for case in _cases(result, read))
        uncovered = None
        if not pattern and not any(case.failure for case in cases):
            coverage = json.loads(opa.run("test", *options, "--coverage").stdout)
            uncovered = tuple(_uncovered(coverage, folder))
    return TestReport(cases, uncovered, sending=tuple(_network_calls(folder)))


def _without_network(opa: Opa, file: Path) -> list[str]:
    """Write OPA's capabilities into a file, without a host that it may reach; return the options
    with which OPA takes them."""
    capabilities = json.loads(opa.run("capabilities", "--current").stdout)
    file.write_text(json.dumps({**capabilities, "allow_net": []}))
    return ["--capabilities", str(file)]


def _network_calls(folder: Path) -> list[str]:
    """The builtins that can send requests and that a text in a folder of rules calls."""
    files = [file for file in folder.rglob("*.rego") if not file.name.endswith("_test.rego")]
    text = "\n".join(file.read_text(errors="replace") for file in files)
    return [name for name in NETWORK if f"{name}(" in text]


def _cases(result: Mapping[str, Any], read: Failures) -> Iterator[Case]:
    package = result["package"].removeprefix("data.")
    seconds = result.get("duration", 0) / 1e9
    failed = read.of(result) if result.get("fail") or result.get("error") else {}
    whole = failed.get("")
    for case in [""] if whole else result.get("sub_results") or [""]:
        name = f"{result['name']}: {case}" if case else result["name"]
        yield Case(package, name, seconds, failed.get(case))


def _uncovered(coverage: Mapping[str, Any], folder: Path) -> Iterator[str]:
    for file, report in coverage["files"].items():
        if Path(file).is_relative_to(folder):
            for lines in report.get("not_covered", []):
                yield f"{file}:{lines['start']['row']}"


def _suite(root: ET.Element, name: str, tests: int, failures: int) -> ET.Element:
    counts = {"tests": str(tests), "failures": str(failures)}
    return ET.SubElement(root, "testsuite", {"name": name, **counts})


def _case(suite: ET.Element, package: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=package, name=_printable(name))


def _fail(element: ET.Element, lines: Sequence[str]) -> None:
    failure = ET.SubElement(element, "failure", message=_printable(lines[0]))
    failure.text = _printable("\n".join(lines))


def _printable(text: str) -> str:
    """Return a text without characters that XML cannot hold."""
    return _NOT_IN_XML.sub("?", text)
