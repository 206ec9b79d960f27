"""When a check passes: the daemon did what was expected, and for the reason expected."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from authz_plugin.decision import Denial
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import Judgement
from authz_plugin.tools.validation.attempts import Attempt
from authz_plugin.tools.validation.checks import (
    ExecutedAttempt,
    Group,
    Observation,
    Result,
    evaluate,
)
from authz_plugin.tools.validation.report import Report, lines

REQUEST = Request("POST", "/containers/create")


def executed_attempt(
    *rules: str, permitted: bool, verdict: str, named: tuple[str, ...] = ()
) -> ExecutedAttempt:
    """An attempt that privileged.container must deny.

    ``rules`` deny it in the sandbox, the daemon's denial names ``named``.
    """
    denials = tuple(Denial(rule, "", None, "no", "") for rule in rules)
    record = DecisionRecord("0123456789abcdef", datetime.now(UTC), denials=denials)
    judgement = Judgement(not rules, "", record, {})
    attempt = Attempt("x", "an attempt", REQUEST, permitted, ("privileged.container",))
    observation = Observation(verdict, "opa-authz", named, "denied")  # type: ignore[arg-type]
    return ExecutedAttempt(attempt, "security boundaries", judgement, permitted, observation)


def test_an_expected_denial_passes() -> None:
    rule = "privileged.container"
    result = evaluate(executed_attempt(rule, permitted=False, verdict="denied", named=(rule,)))
    assert result.passed
    assert result.correctly_blocked


def test_an_expected_allow_passes() -> None:
    result = evaluate(executed_attempt(permitted=True, verdict="allowed"))
    assert result.passed
    assert not result.correctly_blocked


def test_an_unexpected_allow_fails() -> None:
    result = evaluate(executed_attempt("privileged.container", permitted=False, verdict="allowed"))
    assert result.passed is False
    assert result.incorrectly_allowed


def test_an_unexpected_denial_fails() -> None:
    result = evaluate(
        executed_attempt(permitted=True, verdict="denied", named=("privileged.container",))
    )
    assert result.passed is False
    assert not result.incorrectly_allowed


def test_a_policy_that_allows_what_the_configuration_does_not_fails() -> None:
    result = evaluate(
        executed_attempt(permitted=False, verdict="denied", named=("privileged.container",))
    )
    assert result.passed is False
    assert result.detail == "the configuration does not allow this, the policy does"


def test_denied_for_another_reason_fails() -> None:
    """A missing rule must be found although another rule denies."""
    result = evaluate(
        executed_attempt(
            "images.source", permitted=False, verdict="denied", named=("images.source",)
        )
    )
    assert result.passed is False
    assert result.detail == "denied by images.source, not by privileged.container"


def test_denied_by_an_own_rule_although_the_configuration_allows_it_passes() -> None:
    result = evaluate(
        executed_attempt("custom.night", permitted=True, verdict="denied", named=("custom.night",))
    )
    assert result.passed
    assert result.expected == "denied"


@pytest.mark.parametrize("permitted", [True, False])
def test_an_operation_that_the_engine_does_not_have_is_not_tried(permitted: bool) -> None:
    assert evaluate(executed_attempt(permitted=permitted, verdict="absent")).passed is None


def test_a_plugin_without_an_answer_fails() -> None:
    assert (
        evaluate(executed_attempt("privileged.container", permitted=False, verdict="failed")).passed
        is False
    )


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


def test_what_passed_is_one_line_and_what_failed_has_its_own() -> None:
    folded = [text for _, text in lines(REPORT)]
    assert "  ✗ three: expected denied, was allowed" in folded
    assert folded[folded.index("Prerequisites (1)") + 1] == "  ✓ 1 as expected"
    assert folded[folded.index("Allowed operations (1)") + 1] == "  - 1 not tried"
    assert not [text for text in folded if " one" in text or " four" in text]
    assert "--verbose lists every check." in folded


def test_every_check_has_a_line_if_asked_for() -> None:
    text = "\n".join(text for _, text in lines(REPORT, verbose=True))
    for line in ("✓ one", "✓ two: blocked", "✗ three", "- four: not tried"):
        assert line in text
    assert "as expected" not in text


def test_junit_has_a_suite_for_each_group_and_the_reason_of_a_failure() -> None:
    root = ET.fromstring(REPORT.to_junit())
    suites = {suite.attrib["name"]: suite for suite in root}
    assert len(suites) == 5
    failure = suites["security boundaries"].find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "expected denied, was allowed; HTTP 200"
    assert suites["allowed operations"].find("testcase/skipped") is not None
