"""Metrics: what counts what, under names and labels that stay what they are."""

from __future__ import annotations

import re
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from authz_plugin import policy
from authz_plugin.decision import Denial
from authz_plugin.journal import metrics
from authz_plugin.journal.audit import AuditOptions
from authz_plugin.journal.journal import Journal
from authz_plugin.journal.log import LogOptions
from authz_plugin.journal.metrics import Metrics
from authz_plugin.journal.outcomes import PendingRequests
from authz_plugin.journal.record import DecisionRecord, new_decision_id
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.journal.spool import SpoolOptions
from authz_plugin.own_rules import PLUGIN_RULES
from authz_plugin.supervisor.fleet import FIRST_FACTS
from tests.journal.records import NO, create, record, request, response

_ROOT = Path(__file__).parents[2]


class Measured:
    """Metrics with a shared_status, read as a scraper reads them."""

    def __init__(self) -> None:
        self.shared_status = SharedStatus()
        self.metrics = Metrics(
            policy.rule_ids(), self.shared_status.read, lambda: (), {"things": lambda: (3, 2, 1)}
        )

    def series(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        text = self.metrics.render("text/plain")[0].decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.series().get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def measured() -> Measured:
    return Measured()


def unread() -> DecisionRecord:
    """The record of a request that was not understood."""
    denial = Denial("request.unknown-operation", "path", None, "no", "")
    return DecisionRecord(new_decision_id(), datetime.now(UTC), denials=(denial,))


def test_decisions_are_counted_by_operation_and_verdict(measured: Measured) -> None:
    for made in (record(), record(), record(create(), NO), unread()):
        measured.metrics.decided(made)
    name = "opa_authz_requests_total"
    assert measured.value(name, operation="container.list", verdict="allow") == 2
    assert measured.value(name, operation="container.create", verdict="deny") == 1
    assert measured.value(name, operation="unknown", verdict="deny") == 1
    assert measured.value(name, operation="container.create", verdict="allow") == 0


def test_denials_and_warnings_are_counted_by_rule_once_a_request(measured: Measured) -> None:
    measured.metrics.decided(record(create(), NO, NO))
    measured.metrics.decided(record(create(), warnings=(NO,)))
    measured.metrics.decided(unread())
    assert measured.value("opa_authz_denials_total", rule="mounts.source") == 1
    assert measured.value("opa_authz_warnings_total", rule="mounts.source") == 1
    assert measured.value("opa_authz_denials_total", rule="request.unknown-operation") == 1


def test_every_rule_and_operation_starts_at_zero_so_that_the_first_event_is_an_increase(
    measured: Measured,
) -> None:
    assert measured.value("opa_authz_denials_total", rule="privileged.container") == 0
    name = "opa_authz_requests_total"
    assert measured.value(name, operation="container.create", verdict="deny") == 0
    assert measured.value("opa_authz_denials_total", rule="request.unknown-operation") == 0
    assert measured.value("opa_authz_privileged_requests_total", verdict="allow") == 0


def test_the_plugins_own_rules_are_all_known_from_the_start() -> None:
    package = Path(metrics.__file__).parents[1]
    folders = [package / name for name in ("dockerd", "journal")]
    sources = [
        package / f"{name}.py" for name in ("authorizer", "caller", "certificates", "protocol")
    ]
    sources += [file for folder in folders for file in folder.glob("*.py")]
    ids = {id_ for file in sources for id_ in re.findall(r'"(request\.[a-z-]+)"', file.read_text())}
    assert ids == set(PLUGIN_RULES)


def test_the_names_of_socket_proxies_are_there_too(measured: Measured) -> None:
    measured.metrics.decided(record())
    for uri in ("/v1.44/volumes", "/v1.44/volumes/x", "/v1.44/networks"):
        measured.metrics.decided(record(request(uri=uri), NO))
    name = "docker_proxy_requests_total"
    assert measured.value(name, operation="container.list", status="200") == 1
    assert measured.value(name, operation="volume.list", status="403") == 1
    blocked = "docker_proxy_blocked_operations_total"
    assert measured.value(blocked, type="volume") == 2
    assert measured.value(blocked, type="network") == 1


def test_a_custom_rule_of_the_bundle_has_its_own_label_and_an_invented_one_has_not(
    measured: Measured,
) -> None:
    measured.shared_status.update(custom_rules=["custom.team"])
    for rule in ("custom.team", "custom.invented", "request.invented"):
        measured.metrics.decided(record(create(), Denial(rule, "", None, "no", "")))
    assert measured.value("opa_authz_denials_total", rule="custom.team") == 1
    assert measured.value("opa_authz_denials_total", rule="other") == 2


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(min_size=1), max_size=30), st.text(), st.text())
def test_no_request_can_add_a_series(rules: list[str], user: str, name: str) -> None:
    measured = Measured()
    before = set(measured.series())
    denials = [Denial(rule, name, name, name, name) for rule in rules]
    made = record(create(), *denials)._replace(user=user, resource=name, method=name)
    measured.metrics.decided(made)
    waiting = PendingRequests()
    measured.metrics.finished(waiting.finish(response(request(user=user), 999)))
    assert {key for key in set(measured.series()) - before if not key[0].startswith("docker_")} == (
        set()
    )


def test_privileged_requests_are_counted_whether_they_pass_or_not(measured: Measured) -> None:
    measured.metrics.decided(record(create(Privileged=True), NO))
    measured.metrics.decided(record(create(Privileged=True)))
    measured.metrics.decided(record(create(Privileged=False)))
    for verdict in ("allow", "deny"):
        assert measured.value("opa_authz_privileged_requests_total", verdict=verdict) == 1


def test_times_are_measured_by_phase_step_and_engine(measured: Measured) -> None:
    measured.metrics.decided(record())
    measured.metrics.answered(0.003)
    for name, labels in (
        ("opa_authz_phase_duration_seconds_count", {"phase": "request"}),
        ("opa_authz_phase_duration_seconds_count", {"phase": "response"}),
        ("opa_authz_step_duration_seconds_count", {"step": "read"}),
        ("opa_authz_step_duration_seconds_count", {"step": "document"}),
        ("opa_authz_engine_duration_seconds_count", {}),
    ):
        assert measured.value(name, **labels) == 1, name


def test_a_request_that_never_reached_the_engine_does_not_count_as_a_quick_decision(
    measured: Measured,
) -> None:
    measured.metrics.decided(unread())
    assert measured.value("opa_authz_engine_duration_seconds_count") == 0
    assert measured.value("opa_authz_phase_duration_seconds_count", phase="request") == 1


@pytest.mark.parametrize(
    ("status", "label"), [(200, "2xx"), (304, "3xx"), (409, "4xx"), (500, "5xx"), (0, "unknown")]
)
def test_outcomes_are_counted_by_class(measured: Measured, status: int, label: str) -> None:
    waiting, asked = PendingRequests(), create()
    waiting.add(record(asked))
    measured.metrics.finished(waiting.finish(response(asked, status)))
    assert measured.value("opa_authz_outcomes_total", status=label) == 1
    assert measured.value("opa_authz_outcomes_without_decision_total") == 0
    measured.metrics.finished(waiting.finish(response(asked, status)))
    assert measured.value("opa_authz_outcomes_without_decision_total") == 1


def test_what_the_supervisor_knows_is_shown(measured: Measured) -> None:
    measured.shared_status.update(
        engine="opa 1.2",
        engine_up=True,
        engine_restarts=3,
        profile="production",
        revision="abc",
        loaded_at=1000.0,
        reloads={"taken_over": 2, "refused": 1},
        reload_successful=False,
    )
    expected: dict[str, tuple[dict[str, str], float]] = {
        "opa_authz_engine_up": ({}, 1),
        "opa_authz_engine_restarts_total": ({}, 3),
        "opa_authz_policy_info": ({"profile": "production", "revision": "abc"}, 1),
        "opa_authz_policy_loaded_timestamp_seconds": ({}, 1000),
        "opa_authz_policy_reload_successful": ({}, 0),
    }
    for name, (labels, value) in expected.items():
        assert measured.value(name, **labels) == value, name
    assert measured.value("opa_authz_policy_reloads_total", result="refused") == 1


def test_exceptions_are_counted_by_how_near_their_end_is(measured: Measured) -> None:
    now, day = time.time(), 86400
    measured.shared_status.update(exceptions=[now - day, now + day, now + 13 * day, now + 15 * day])
    for state, count in (("expired", 1), ("expiring", 2), ("active", 1)):
        assert measured.value("opa_authz_exceptions", state=state) == count
    name = "opa_authz_exception_next_expiry_timestamp_seconds"
    assert measured.value(name) == pytest.approx(now + day)


def test_caches_are_measured(measured: Measured) -> None:
    assert measured.value("opa_authz_cache_hits_total", cache="things") == 3
    assert measured.value("opa_authz_cache_misses_total", cache="things") == 2
    assert measured.value("opa_authz_cache_entries", cache="things") == 1


def test_the_busiest_caller_is_measured_within_a_minute(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = measured.metrics.callers
    assert [callers.denied("mallory") for _ in range(12)] == list(range(1, 13))
    callers.denied("alice")
    name = "opa_authz_denials_of_one_caller_last_minute"
    assert measured.value(name) == 12
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert measured.value(name) == 0


def test_callers_are_remembered_up_to_a_number(measured: Measured) -> None:
    for number in range(metrics._CALLERS + 50):
        measured.metrics.callers.denied(f"caller {number}")
    assert len(measured.metrics.callers._times) == metrics._CALLERS


def test_names_follow_the_conventions(measured: Measured) -> None:
    text = measured.metrics.render("text/plain")[0].decode()
    for family in text_string_to_metric_families(text):
        if family.name.startswith("process_"):
            continue
        assert re.fullmatch(r"(opa_authz|docker_proxy)_[a-z_]+", family.name)
        assert family.documentation
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_the_documented_metrics_are_those_there_are(measured: Measured) -> None:
    """docs/reference/metrics.md names every family, and nothing else."""
    page = (_ROOT / "docs/reference/metrics.md").read_text()
    documented = set(re.findall(r"^\| `((?:opa_authz|docker_proxy)_\w+)", page, re.MULTILINE))
    names: set[str] = set()
    for family in full_families():
        names.add(f"{family.name}_total" if family.type == "counter" else family.name)
    assert documented == {name for name in names if not name.startswith("process_")}


def full_families() -> list[Any]:
    """The families of a journal that has everything."""
    with tempfile.TemporaryDirectory() as folder:
        shared_status = SharedStatus()
        shared_status.update(fleet=FIRST_FACTS)
        shared_status.update(exceptions=[time.time() + 1000])
        audit = AuditOptions(file=Path(folder) / "audit.jsonl")
        spool = SpoolOptions(Path(folder) / "spool", 1 << 20)
        journal = Journal(LogOptions(level="error"), audit, shared_status, (), {}, spool=spool)
        text = journal.metrics.render("text/plain")[0].decode()
        journal.stop()
    return list(text_string_to_metric_families(text))
