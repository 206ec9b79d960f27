"""When a check passes: the daemon did what was expected, and for the reason expected."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from authz_plugin.decision import Denial
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import Judgement
from authz_plugin.tools.validation.boundaries import Attempt
from authz_plugin.tools.validation.checks import Group, Observation, Result, _result, _Tried
from authz_plugin.tools.validation.report import Report, lines

REQUEST = Request("POST", "/containers/create")


def tried(*rules: str, promised: bool, verdict: str, named: tuple[str, ...] = ()) -> _Tried:
    """An attempt that privileged.container stands for; ``rules`` deny it here, ``named`` there."""
    denials = tuple(Denial(rule, "", None, "no", "") for rule in rules)
    record = DecisionRecord("0123456789abcdef", datetime.now(UTC), denials=denials)
    judgement = Judgement(not rules, "", record, {})
    attempt = Attempt("x", "an attempt", REQUEST, promised, ("privileged.container",))
    seen = Observation(verdict, "opa-authz", named, "said")  # type: ignore[arg-type]
    return _Tried(attempt, "security boundaries", judgement, promised, seen)


def test_denied_as_promised_passes() -> None:
    rule = "privileged.container"
    result = _result(tried(rule, promised=False, verdict="denied", named=(rule,)))
    assert result.passed
    assert result.correctly_blocked


def test_allowed_as_promised_passes() -> None:
    result = _result(tried(promised=True, verdict="allowed"))
    assert result.passed
    assert not result.correctly_blocked


def test_allowed_against_the_promise_fails() -> None:
    result = _result(tried("privileged.container", promised=False, verdict="allowed"))
    assert result.passed is False
    assert result.incorrectly_allowed


def test_denied_against_the_promise_fails() -> None:
    result = _result(tried(promised=True, verdict="denied", named=("privileged.container",)))
    assert result.passed is False
    assert not result.incorrectly_allowed


def test_a_policy_that_allows_what_the_configuration_does_not_fails() -> None:
    result = _result(tried(promised=False, verdict="denied", named=("privileged.container",)))
    assert result.passed is False
    assert result.detail == "the configuration does not allow this, the policy does"


def test_denied_for_another_reason_fails() -> None:
    """A rule that is gone must not hide behind another denial."""
    result = _result(
        tried("images.source", promised=False, verdict="denied", named=("images.source",))
    )
    assert result.passed is False
    assert result.detail == "denied by images.source, not by privileged.container"


def test_denied_by_an_own_rule_although_the_configuration_allows_it_passes() -> None:
    result = _result(
        tried("custom.night", promised=True, verdict="denied", named=("custom.night",))
    )
    assert result.passed
    assert result.expected == "denied"


@pytest.mark.parametrize("promised", [True, False])
def test_an_operation_that_the_engine_does_not_have_is_not_tried(promised: bool) -> None:
    assert _result(tried(promised=promised, verdict="absent")).passed is None


def test_a_plugin_without_an_answer_fails() -> None:
    assert _result(tried("privileged.container", promised=False, verdict="failed")).passed is False


def result(
    id_: str, group: Group, title: str, expected: str, observed: str, *, passed: bool | None
) -> Result:
    return Result(id_, group, title, passed, expected, observed, detail="HTTP 200")


REPORT = Report(
    "unix:///x",
    "Docker/28",
    "production",
    "abc",
    [
        Result("a", "prerequisites", "one", passed=True),
        result("b", "denied operations", "two", "denied", "denied", passed=True),
        result("c", "security boundaries", "three", "denied", "allowed", passed=False),
        result("d", "allowed operations", "four", "allowed", "absent", passed=None),
    ],
)


def test_the_totals_count_what_was_tried() -> None:
    assert REPORT.summary() == {
        "run": 3,
        "passed": 2,
        "failed": 1,
        "skipped": 1,
        "correctly_blocked": 1,
        "incorrectly_allowed": 1,
    }
    assert not REPORT.passed


def test_the_verdict_says_what_is_wrong() -> None:
    text = "\n".join(text for _, text in lines(REPORT))
    assert "✗ three: expected denied, was allowed" in text
    assert "✗ NOT SAFE" in text
    assert "Security boundaries: 1 FAILED" in text
    assert "Denied operations: BLOCKED" in text


def test_junit_has_a_suite_for_each_group_and_the_reason_of_a_failure() -> None:
    root = ET.fromstring(REPORT.to_junit())
    suites = {suite.attrib["name"]: suite for suite in root}
    assert len(suites) == 5
    failure = suites["security boundaries"].find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "expected denied, was allowed; HTTP 200"
    assert suites["allowed operations"].find("testcase/skipped") is not None
