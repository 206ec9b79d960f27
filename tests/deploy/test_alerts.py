"""The alerts, on a real promtool: each fires when it should, clears, and has its procedure."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.harness.prometheus import prepare

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy/prometheus/opa-authz.rules.yml"
_HERE: Final = 'instance="host:9717", job="opa-authz"'


@dataclass(frozen=True)
class Case:
    """Series, and the times at which an alert fires, if it does, and at which it does not."""

    series: dict[str, str]
    fires: str
    quiet: tuple[str, ...]
    every: str = "15s"


def one(name: str, labels: str, values: str, fires: str, *quiet: str) -> Case:
    return Case({f"{name}{{{_HERE}{', ' + labels if labels else ''}}}": values}, fires, quiet)


def counter(name: str, labels: str, *, steps: int = 1) -> Case:
    """A counter that grows after five minutes, and five minutes later is old news."""
    return one(name, labels, f"0x20 {steps}x120", "6m", "4m", "25m")


def gauge(name: str, labels: str, good: float, bad: float) -> Case:
    """A gauge that is bad from minute 5 to 10."""
    return one(name, labels, f"{good:g}x19 {bad:g}x19 {good:g}x40", "9m", "4m", "12m")


CREATED = 'operation="container.create", verdict="allow"'
CASES: Final[dict[str, list[Case]]] = {
    "OpaAuthzPrivilegedAllowed": [
        counter("opa_authz_privileged_requests_total", 'verdict="allow"')
    ],
    "OpaAuthzPrivilegedAttempt": [counter("opa_authz_privileged_requests_total", 'verdict="deny"')],
    "OpaAuthzRepeatedDenials": [gauge("opa_authz_denials_of_one_caller_last_minute", "", 10, 11)],
    "OpaAuthzSocketMountAttempt": [
        counter("opa_authz_denials_total", 'rule="mounts.protected"'),
        counter("opa_authz_denials_total", 'rule="guard.mount"'),
    ],
    "OpaAuthzContainerCreationRate": [
        one("opa_authz_requests_total", CREATED, "0x19 6x40", "5m30s", "4m", "7m"),
        one("opa_authz_requests_total", CREATED, "_x19 6x40", "5m30s", "4m", "7m"),
        one("opa_authz_requests_total", CREATED, "0+2x20 40x40", "4m", "30s", "7m"),
    ],
    "OpaAuthzUnknownEndpoint": [
        counter("opa_authz_denials_total", 'rule="request.unknown-operation"')
    ],
    "OpaAuthzUnusualOperation": [
        Case(
            {
                f'opa_authz_requests_total{{{_HERE}, operation="exec.create", verdict="deny"}}': (
                    "0x1600 1x100"
                ),
                f'opa_authz_requests_total{{{_HERE}, operation="container.list"}}': "0+1x1700",
                f"process_start_time_seconds{{{_HERE}}}": "0x1700",
            },
            "26h42m",
            ("26h38m", "26h52m"),
            every="60s",
        ),
        Case(
            {
                f'opa_authz_requests_total{{{_HERE}, operation="exec.create", verdict="deny"}}': (
                    "0x20 1x40"
                ),
                f"process_start_time_seconds{{{_HERE}}}": "0x60",
            },
            "",
            ("6m",),
        ),
    ],
    "OpaAuthzRequestSpike": [
        one(
            "opa_authz_requests_total",
            'operation="container.list", verdict="allow"',
            "0+15x300 4500+150x60 13500+15x100",
            "84m",
            "70m",
            "105m",
        )
    ],
    "OpaAuthzDenials": [
        counter("opa_authz_requests_total", 'operation="volume.list", verdict="deny"')
    ],
    "OpaAuthzDown": [
        gauge("up", "", 1, 0),
        one("up", "", "1x19 _x40 1x40", "13m", "4m", "17m"),
    ],
    "OpaAuthzEngineDown": [gauge("opa_authz_engine_up", "", 1, 0)],
    "OpaAuthzEngineErrors": [counter("opa_authz_engine_errors_total", "")],
    "OpaAuthzEngineRestarts": [counter("opa_authz_engine_restarts_total", "", steps=5)],
    "OpaAuthzDefect": [counter("opa_authz_denials_total", 'rule="request.internal"')],
    "OpaAuthzSlow": [
        Case(
            {
                f'opa_authz_phase_duration_seconds_bucket{{{_HERE}, phase="request", le="0.5"}}': (
                    "0+10x40 400x60 400+100x60"
                ),
                f'opa_authz_phase_duration_seconds_bucket{{{_HERE}, phase="request", le="1"}}': (
                    "0+10x40 400+10x60 1000+100x60"
                ),
                f'opa_authz_phase_duration_seconds_bucket{{{_HERE}, phase="request", le="+Inf"}}': (
                    "0+10x40 400+10x60 1000+100x60"
                ),
            },
            "22m",
            ("9m", "36m"),
        )
    ],
    "OpaAuthzResources": [
        one("process_cpu_seconds_total", "", "0+3x40 120+15x60 1020+1x60", "22m", "9m", "36m"),
        one("process_resident_memory_bytes", "", "1e8x40 4.5e8x60 1e8x60", "22m", "9m", "36m"),
        Case(
            {
                f"process_open_fds{{{_HERE}}}": "10x40 900x60 10x60",
                f"process_max_fds{{{_HERE}}}": "1000x160",
            },
            "22m",
            ("9m", "36m"),
        ),
    ],
    "OpaAuthzFleetUnreached": [
        one("opa_authz_fleet_last_success_timestamp_seconds", "", "0x160", "22m", "14m")
    ],
    "OpaAuthzFleetBundleRefused": [gauge("opa_authz_fleet_bundle_refused", "", 0, 1)],
    "OpaAuthzFleetPolicyNotKept": [
        Case(
            {
                f"opa_authz_fleet_policy_kept{{{_HERE}}}": "1x19 0x40 1x40",
                f"opa_authz_fleet_bundle_built_timestamp_seconds{{{_HERE}}}": "5x100",
            },
            "12m",
            ("4m", "20m"),
        ),
    ],
    "OpaAuthzFleetUploadsFail": [
        one("opa_authz_fleet_uploads_up", "", "1x20 0x80 1x60", "24m", "18m", "27m")
    ],
    "OpaAuthzFleetDecisionsLost": [counter("opa_authz_fleet_decisions_lost_total", "")],
    "OpaAuthzAuditFailing": [gauge("opa_authz_audit_up", "", 1, 0)],
    "OpaAuthzRecordsDropped": [counter("opa_authz_journal_dropped_total", 'sink="audit"')],
    "OpaAuthzReloadRefused": [gauge("opa_authz_policy_reload_successful", "", 1, 0)],
    "OpaAuthzWarnMode": [
        one("opa_authz_warnings_total", 'rule="mounts.source"', "0x20 1x600", "6m", "4m", "80m")
    ],
    "OpaAuthzExceptionEnds": [
        gauge("opa_authz_exceptions", 'state="expiring"', 0, 1),
        gauge("opa_authz_exceptions", 'state="expired"', 0, 1),
    ],
}


def alerts() -> dict[str, dict[str, Any]]:
    groups = YAML(typ="safe").load(RULES)["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_the_rules_are_sound() -> None:
    done = subprocess.run(
        [prepare().promtool, "check", "rules", RULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_alert_has_a_case() -> None:
    assert set(alerts()) == set(CASES)


def rule_file(name: str, folder: Path) -> str:
    """Write a file that has one alert of the shipped file, as it is there; its path.

    promtool evaluates every rule of a file at every step.
    """
    file = folder / f"{name}.rules.yml"
    YAML().dump({"groups": [{"name": "one", "rules": [alerts()[name]]}]}, file)
    return str(file)


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_and_clears(name: str, tmp_path: Path) -> None:
    tests = [
        {
            "interval": case.every,
            "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})',
                    "eval_time": time,
                    "exp_samples": samples,
                }
                for time, samples in [
                    *([(case.fires, [{"value": 1}])] if case.fires else []),
                    *((quiet, []) for quiet in case.quiet),
                ]
            ],
        }
        for case in CASES[name]
    ]
    file = tmp_path / "alerts.test.yml"
    every = CASES[name][0].every
    rules = [rule_file(name, tmp_path)]
    document = {"rule_files": rules, "evaluation_interval": every, "tests": tests}
    YAML().dump(document, file)
    done = subprocess.run(
        [prepare().promtool, "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ten_denials_a_minute_and_five_containers_are_no_alarm(tmp_path: Path) -> None:
    quiet = [
        ("OpaAuthzRepeatedDenials", "opa_authz_denials_of_one_caller_last_minute", "", "10x40"),
        ("OpaAuthzContainerCreationRate", "opa_authz_requests_total", CREATED, "0x19 5x40"),
    ]
    for name, series, labels, values in quiet:
        case = one(series, labels, values, "5m30s")
        tests = {
            "interval": "15s",
            "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
            "promql_expr_test": [
                {"expr": f'ALERTS{{alertname="{name}"}}', "eval_time": "5m30s", "exp_samples": []}
            ],
        }
        file = tmp_path / f"{name}.yml"
        YAML().dump({"rule_files": [rule_file(name, tmp_path)], "tests": [tests]}, file)
        subprocess.run([prepare().promtool, "test", "rules", file], check=True)


def test_every_alert_has_a_procedure_where_it_says_so() -> None:
    page = (ROOT / "docs/how-to/alerts.md").read_text()
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"docs/how-to/alerts.md#{name.lower()}"
        section = re.search(rf"^### {name}$(.*?)(?=^###? |\Z)", page, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        assert len(section[1].split()) > 25, name
        assert rule["labels"]["priority"] in section[1], name
