"""When a control is met, and what is said where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from authz_plugin import policy
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.tools.compliance.assessment import STATUSES, Assessment, Assessor, Status
from authz_plugin.tools.compliance.configured import EffectiveConfig
from authz_plugin.tools.compliance.controls import Control
from authz_plugin.tools.doctor.finding import Finding, Severity
from authz_plugin.tools.validation.checks import Result
from tests.conftest import with_policy

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SETTINGS = {
    "privileged.container": ("privileged.allow",),
    "hardening.healthcheck": ("hardening.healthcheck",),
    "resources.required": ("resources.required",),
    "resources.max": ("resources.max",),
}

PRIVILEGED = Control(
    "5.5",
    "No privileged containers",
    rules=("privileged.container",),
    checks=("privileged", "disguise.folded"),
    findings=("containers.privileged",),
)
REACH = "What an image does is in no request."


def configured(**changes: Any) -> EffectiveConfig:
    config = policy.configuration(
        with_policy(**{"profile": "production", **changes}), LocalHostPaths()
    )
    return EffectiveConfig(config, config, SETTINGS, NOW)


def result(
    id_: str, expected: str, observed: str, *rules: str, passed: bool = True, detail: str = ""
) -> Result:
    title = f"the {id_} thing"
    return Result(
        id_, "security boundaries", title, passed, expected, observed, rules, detail
    )  # fmt: skip


def blocked(id_: str) -> Result:
    return result(id_, "denied", "denied", "privileged.container")


def allowed(id_: str) -> Result:
    """Allowed, as the configuration says."""
    return result(id_, "allowed", "allowed")


def failed(id_: str) -> Result:
    return result(id_, "denied", "allowed", passed=False, detail="HTTP 201")


def absent(id_: str) -> Result:
    detail = "this engine has no such operation"
    return Result(id_, "security boundaries", f"the {id_} thing", None, detail=detail)


def found(severity: Severity, id_: str = "containers.privileged") -> Finding:
    return Finding(id_, severity, f"seen by doctor: {severity}")


BLOCKED = (blocked("privileged"), blocked("disguise.folded"))
IN_ORDER = (found("ok"),)
EXCEPTION = {
    "rule": "privileged.container",
    "value": True,
    "when": {"image": "debugger"},
    "expires": "2026-06-20",
    "reason": "to debug",
}


@dataclass(frozen=True)
class Case:
    status: Status
    reason: str
    results: tuple[Result, ...] = BLOCKED
    findings: tuple[Finding, ...] = IN_ORDER
    control: Control = PRIVILEGED
    config: tuple[tuple[str, Any], ...] = ()
    is_incomplete: bool = True


CASES = {
    "all of it holds": Case(
        "met", "2 checks passed, 1 finding in order, 1 rule in force", is_incomplete=False
    ),
    "a check failed": Case(
        "not met",
        "the privileged thing: FAILED, expected denied, was allowed; HTTP 201 [privileged]",
        (failed("privileged"), BLOCKED[1]),
    ),
    "a check that tries no request failed": Case(
        "not met",
        "the enforcement thing: FAILED, so it is [enforcement]",
        (result("enforcement", "", "", passed=False, detail="so it is"),),
        control=Control("x", "x", checks=("enforcement",)),
    ),
    "the configuration leaves it open": Case(
        "not met",
        "the privileged thing: allowed by privileged.allow: true [privileged]",
        (allowed("privileged"), BLOCKED[1]),
        config=(("privileged", {"allow": True}),),
    ),
    "its rule only warns": Case(
        "not met",
        "the privileged thing: allowed by rules.privileged.container: warn [privileged]",
        (allowed("privileged"), BLOCKED[1]),
        config=(("rules", {"privileged.container": "warn"}),),
    ),
    "everything only warns": Case(
        "not met",
        "the privileged thing: allowed by mode: warn [privileged]",
        (allowed("privileged"), BLOCKED[1]),
        config=(("mode", "warn"),),
    ),
    "its rule only warns, and another denied": Case(
        "partly",
        "only warns (rules.privileged.container: warn) [privileged.container]",
        config=(("rules", {"privileged.container": "warn"}),),
    ),
    "an exception lifts its rule now and then": Case(
        "partly",
        "an exception: privileged.container True for image docker.io/library/debugger: "
        "until 2026-06-20 (5 days left), to debug [privileged.container]",
        config=(("exceptions", [EXCEPTION]),),
    ),
    "an exception allowed it": Case(
        "not met",
        "the privileged thing: allowed by an exception: privileged.container True",
        (allowed("privileged"), BLOCKED[1]),
        config=(("exceptions", [EXCEPTION]),),
    ),
    "an exception of its rule is over": Case(
        "met",
        "2 checks passed",
        config=(("exceptions", [{**EXCEPTION, "expires": "2026-06-14"}]),),
        is_incomplete=False,
    ),
    "an exception is from another rule": Case(
        "met",
        "2 checks passed",
        config=(("exceptions", [{**EXCEPTION, "rule": "privileged.exec"}]),),
        is_incomplete=False,
    ),
    "another role may": Case(
        "partly",
        "blocked by privileged.container; open for role ops (privileged.allow: true) [privileged]",
        config=(("roles", {"ops": {"callers": [{"user": "ops"}], "privileged": {"allow": True}}}),),
    ),
    "another role is only warned": Case(
        "partly",
        "open for role ops (rules.privileged.container: warn) [privileged]",
        config=(
            (
                "roles",
                {
                    "ops": {
                        "callers": [{"user": "ops"}],
                        "rules": {"privileged.container": "warn"},
                    }
                },
            ),
        ),
    ),
    "another role may as little": Case(
        "met",
        "2 checks passed",
        config=(("roles", {"ops": {"callers": [{"user": "ops"}], "users": {"execs": ["root"]}}}),),
        is_incomplete=False,
    ),
    "doctor found it": Case("not met", "seen by doctor: critical", findings=(found("critical"),)),
    "doctor only mentions it": Case("not met", "seen by doctor: info", findings=(found("info"),)),
    "doctor found one of two": Case(
        "not met",
        "seen by doctor: warning [dockerd.tcp-open]",
        (),
        (found("ok", "dockerd.tcp"), found("warning", "dockerd.tcp-open")),
        Control("x", "x", findings=("dockerd.tcp*",)),
    ),
    "doctor did not look": Case(
        "partly",
        "doctor could not look at it [containers.privileged]",
        findings=(found("ok", "containers.host-root"),),
    ),
    "a part of it was not tried": Case(
        "partly",
        "the disguise.folded thing: not tried, this engine has no such operation",
        (BLOCKED[0], absent("disguise.folded")),
    ),
    "a part of it has no result": Case("partly", "not tried [disguise.folded]", (BLOCKED[0],)),
    "none of it was tried": Case(
        "not tried", "not tried [privileged]; not tried [disguise.folded]; doctor", (), ()
    ),
    "rules are no proof": Case(
        "not tried",
        "",
        control=Control("x", "x", rules=("privileged.container",)),
        is_incomplete=False,
    ),
    "it holds, as far as anything reaches": Case(
        "partly",
        f"2 checks passed, 1 rule in force. {REACH}",
        control=Control("x", "x", rules=PRIVILEGED.rules, checks=PRIVILEGED.checks, partly=REACH),
        is_incomplete=False,
    ),
    "it fails, as far as anything reaches": Case(
        "not met",
        "the privileged thing: FAILED",
        (failed("privileged"),),
        control=Control("x", "x", rules=PRIVILEGED.rules, checks=("privileged",), partly=REACH),
    ),
    "nothing reaches it": Case(
        "outside", REACH, control=Control("x", "x", outside=REACH), is_incomplete=False
    ),
}


def assessed(case: Case) -> Assessment:
    return Assessor(case.results, case.findings, configured(**dict(case.config))).assess(
        case.control
    )


@pytest.mark.parametrize("name", CASES)
def test_a_control_is_judged_by_its_evidence(name: str) -> None:
    case = CASES[name]
    judged = assessed(case)
    assert judged.status == case.status
    assert case.reason in judged.because
    assert judged.is_incomplete is case.is_incomplete


def test_every_status_has_its_case() -> None:
    assert {case.status for case in CASES.values()} == set(STATUSES)


def test_the_reason_names_a_few_and_counts_the_rest() -> None:
    control = Control("x", "x", checks=("a", "b", "c", "d", "e"))
    judged = assessed(Case("not met", "", tuple(map(failed, control.checks)), (), control))
    assert "[c]; and 2 more" in judged.because
    assert "[d]" not in judged.because
    assert [piece.id for piece in judged.evidence] == list(control.checks)


@pytest.mark.parametrize(
    ("check", "rules", "config", "opened"),
    [
        ("hardening.healthcheck", ("hardening.healthcheck",), {}, "hardening.healthcheck: false"),
        (
            "resources.memory.none",
            ("resources.required", "resources.max"),
            {},
            "resources.required: [], resources.max",
        ),
        ("operation.container.list", ("sections.operation",), {}, "sections.containers: write"),
        (
            "operation.volume.list",
            ("sections.operation",),
            {"operations": {"volume.list": "allow"}},
            "operations.volume.list: allow",
        ),
        ("nobody's", (), {}, ""),
    ],
)
def test_what_leaves_a_check_open_is_named(
    check: str, rules: tuple[str, ...], config: dict[str, Any], opened: str
) -> None:
    assert configured(**config).opened_by(check, rules) == opened


def test_unmatched_callers_are_others_unless_they_are_denied() -> None:
    roles = {"ops": {"callers": [{"user": "ops"}], "privileged": {"allow": False}}}
    open_to_all = {"profile": "production", "privileged": {"allow": True}, "roles": roles}
    for unmatched_callers, others in (("allow", ["open for callers without a role"]), ("deny", [])):
        given = with_policy(**open_to_all, unmatched_callers=unmatched_callers)
        config = policy.configuration(given, LocalHostPaths())
        made = EffectiveConfig(config, config["roles"]["ops"], SETTINGS, NOW)
        said = list(made.open_for("privileged", ("privileged.container",)))
        assert [text.partition(" (")[0] for text in said] == others


@pytest.mark.parametrize(
    ("check", "opened", "closed"),
    [
        (
            "networks.default-bridge",
            {"networks": {"default_bridge": True}},
            {"networks": {"default_bridge": False}},
        ),
        (
            "containers.command",
            {"containers": {"deny_commands": ["*telnetd"]}},
            {"containers": {"deny_commands": ["*sshd"]}},
        ),
        (
            "containers.restart-retries",
            {"containers": {"restart_retries": None}},
            {"containers": {"restart_retries": 5}},
        ),
        (
            "containers.restart-retries",
            {"containers": {"restart": ["no", "on-failure"]}},
            {"containers": {"restart": ["no"]}},
        ),
        (
            "resources.ulimit",
            {"resources": {"ulimits": {"nofile": None}}},
            {"resources": {"ulimits": {"nofile": 65536}}},
        ),
        (
            "resources.memory.none",
            {"resources": {"required": ["cpus"]}},
            {"resources": {"required": ["memory"]}},
        ),
        (
            "resources.memory.none",
            {"resources": {"max": {"cpus": 1}}},
            {"resources": {"max": {"memory": "1g"}}},
        ),
        ("mounts./boot", {"mounts": {"allow": [{"path": "/boot"}]}}, {"mounts": {"allow": []}}),
    ],
)
def test_what_is_said_of_a_check_follows_its_setting(
    check: str, opened: dict[str, Any], closed: dict[str, Any]
) -> None:
    assert configured(**opened).expectations[check].allowed
    assert not configured(**closed).expectations[check].allowed
