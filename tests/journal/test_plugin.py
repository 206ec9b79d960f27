"""The journal of a running plugin: metrics, health, systemd, floods and faults."""

from __future__ import annotations

import grp
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from authz_plugin.errors import SetupError
from authz_plugin.journal import chain
from authz_plugin.settings import Metrics
from authz_plugin.supervisor.metrics_socket import open_metrics
from authz_plugin.supervisor.run import _check_group
from tests.harness.client import Response, call
from tests.harness.plugin import Connection, Plugin, children, freeze, running_plugin, wait_for
from tests.harness.prometheus import free_port

LIST = {"RequestMethod": "GET", "RequestUri": "/v1.41/containers/json"}
VOLUMES = {"RequestMethod": "GET", "RequestUri": "/v1.41/volumes"}
REQUEST, REPORT = "/AuthZPlugin.AuthZReq", "/AuthZPlugin.AuthZRes"


class Observed:
    """A plugin, and what it says of itself."""

    def __init__(self, plugin: Plugin, folder: Path) -> None:
        self.plugin = plugin
        self.folder = folder
        self.socket = folder / "metrics.sock"

    def get(self, path: str) -> Response:
        return call(self.socket, "GET", path)

    def value(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    def health(self, path: str = "/healthz") -> tuple[int, Any]:
        answer = self.get(path)
        return answer.status, orjson.loads(answer.text)


Observe = Callable[..., Observed]


@contextmanager
def observed(folder: Path, settings: str, **environment: str) -> Iterator[Observed]:
    """Run a plugin with settings beside the profile; its files are in a folder."""
    config = folder / "config.yaml"
    config.write_text(f"profile: production\n{settings}")
    environment = {
        "OPA_AUTHZ_METRICS_LISTEN": f"unix:{folder}/metrics.sock",
        "OPA_AUTHZ_AUDIT_FILE": f"{folder}/audit.jsonl",
        **environment,
    }
    with running_plugin(folder, f"--config={config}", environment=environment) as plugin:
        yield Observed(plugin, folder)


@pytest.fixture
def observe(tmp_path: Path) -> Iterator[Observe]:
    """Start a plugin with settings beside the profile."""
    with ExitStack() as cleanup:

        def start(settings: str = "", **environment: str) -> Observed:
            return cleanup.enter_context(observed(tmp_path, settings, **environment))

        yield start


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A plugin with one exception, for the tests that only send requests."""
    exception = (
        "exceptions:\n- {rule: capabilities.add, value: KILL, when: {image: app}, "
        "expires: 2099-01-31, reason: test}\n"
    )
    group = {"OPA_AUTHZ_AUDIT_GROUP": grp.getgrgid(os.getgid()).gr_name}
    with observed(tmp_path_factory.mktemp("observed"), exception, **group) as started:
        yield started


def test_the_group_of_the_settings_may_read_the_audit_file(seen: Observed) -> None:
    facts = (seen.folder / "audit.jsonl").stat()
    assert (facts.st_gid, facts.st_mode & 0o777) == (os.getgid(), 0o640)


def test_a_group_that_does_not_exist_stops_the_start() -> None:
    with pytest.raises(SetupError, match=r"audit\.group: there is no group nobody-here"):
        _check_group("nobody-here")


def test_a_request_is_counted_and_its_outcome_too(seen: Observed) -> None:
    counted: dict[str, dict[str, str]] = {
        "opa_authz_requests_total": {"operation": "container.list", "verdict": "allow"},
        "opa_authz_outcomes_total": {"status": "2xx"},
        "opa_authz_denials_total": {"rule": "sections.operation"},
        "opa_authz_phase_duration_seconds_count": {"phase": "response"},
    }
    before = {name: seen.value(name, **labels) or 0 for name, labels in counted.items()}
    assert seen.plugin.post(REQUEST, LIST)["Allow"]
    assert seen.plugin.post(REPORT, {**LIST, "ResponseStatusCode": 200})["Allow"]
    assert not seen.plugin.post(REQUEST, VOLUMES)["Allow"]
    for name, labels in counted.items():
        assert seen.value(name, **labels) == before[name] + 1, name
    assert seen.value("opa_authz_open_requests") == 0
    assert seen.value("opa_authz_engine_up") == 1


def test_decision_and_outcome_are_in_the_audit_file_when_it_stops(observe: Observe) -> None:
    seen = observe()
    with Connection(seen.plugin.socket) as connection:
        for _ in range(50):
            connection.post(REQUEST, LIST)
            connection.post(REPORT, {**LIST, "ResponseStatusCode": 200})
    assert seen.plugin.stop() == 0
    file = seen.folder / "audit.jsonl"
    assert chain.verify(file)[1] == []
    events = [link.document["event"] for link in chain.read_links(file)]
    assert events.count("allowed_operation") == events.count("finished_operation") == 50
    decisions = {link.document.get("decision_id") for link in chain.read_links(file)} - {None}
    assert len(decisions) == 50


def test_metrics_are_served_on_tcp_and_in_openmetrics_for_those_who_ask(observe: Observe) -> None:
    port = free_port()
    observe(OPA_AUTHZ_METRICS_LISTEN=f"127.0.0.1:{port}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    response = connection.getresponse()
    assert "openmetrics" in (response.getheader("Content-Type") or "")
    assert response.read().endswith(b"# EOF\n")
    connection.close()


def test_a_default_address_that_is_taken_is_done_without_and_that_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        said: list[str] = []
        assert open_metrics(Metrics(listen, is_default=True), said.append) is None
    assert listen in said[0]


def test_a_chosen_address_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        program = str(Path(sys.executable).with_name("opa-authz"))
        done = subprocess.run(
            [program, "serve", "--config=/dev/null", f"--socket={tmp_path}/p.sock"],
            env={**os.environ, "OPA_AUTHZ_METRICS_LISTEN": listen},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert listen in done.stderr
        assert not (tmp_path / "p.sock").exists()


def test_the_socket_of_the_metrics_is_for_this_user_and_goes_with_the_plugin(
    observe: Observe,
) -> None:
    seen = observe()
    assert seen.socket.stat().st_mode & 0o777 == 0o600
    assert seen.plugin.stop() == 0
    assert not seen.socket.exists()


def test_dockerds_socket_tells_no_metrics(seen: Observed) -> None:
    assert call(seen.plugin.socket, "GET", "/metrics").status == 404
    assert seen.get("/AuthZPlugin.AuthZReq").status == 404


def test_it_is_healthy_and_ready(seen: Observed) -> None:
    for path in ("/healthz", "/readyz"):
        assert seen.health(path) == (200, {"status": "ok", "faults": {}})


def test_without_its_opa_it_is_neither_and_recovers(observe: Observe) -> None:
    seen = observe("engine: opa\n")
    (opa,) = children(seen.plugin.process.pid, "opa")
    freeze(opa)
    wait_for(lambda: seen.health("/readyz")[0] == 503, "the plugin to notice")
    assert seen.health()[1]["faults"] == {"engine": "OPA does not answer"}
    wait_for(lambda: seen.health("/readyz")[0] == 200, "a new OPA", 20)
    assert seen.value("opa_authz_engine_restarts_total") == 1


def test_reloads_are_counted_and_the_last_ones_fate_is_shown(observe: Observe) -> None:
    seen = observe()
    revision = "opa_authz_policy_info"
    config = seen.folder / "config.yaml"
    config.write_text("profile: production\nsections: {volumes: read}\n")
    seen.plugin.reload()
    assert seen.value("opa_authz_policy_reloads_total", result="taken_over") == 1
    config.write_text("profile: nonesuch\n")
    seen.plugin.reload()
    assert seen.value("opa_authz_policy_reloads_total", result="refused") == 1
    assert seen.value("opa_authz_policy_reload_successful") == 0
    assert seen.get("/metrics").text.count(f"\n{revision}{{") == 1


def test_exceptions_of_the_policy_are_counted(seen: Observed) -> None:
    assert seen.value("opa_authz_exceptions", state="active") == 1


def test_rules_of_an_operators_own_are_counted_by_their_ids(
    observe: Observe, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "mine.rego").write_text(
        "package docker.authz.rules.custom_mine\n\n# METADATA\n# title: t\n# description: d\n"
        "# custom:\n#   id: custom.mine\n"
        'denials contains {"rule": id, "field": "", "value": 0, "message": "no", "hint": ""} if {\n'
        '  input.operation.id == "container.list"\n'
        '  some id in ["custom.mine", input.request.uri]\n}\n'
    )
    seen = observe(f"policies: {rules}\n")
    for number in range(3):
        seen.plugin.post(REQUEST, {**LIST, "RequestUri": f"/v1.41/containers/json?limit={number}"})
    assert seen.value("opa_authz_denials_total", rule="custom.mine") == 3
    assert seen.value("opa_authz_denials_total", rule="other") == 3
    assert "limit=" not in seen.get("/metrics").text


def test_who_is_denied_again_and_again_is_named_once(observe: Observe) -> None:
    seen = observe()
    with Connection(seen.plugin.socket) as connection:
        for _ in range(15):
            connection.post(REQUEST, {**VOLUMES, "User": "mallory"})
    wait_for(lambda: "repeated_denials" in seen.plugin.log, "the event")
    assert seen.value("opa_authz_denials_of_one_caller_last_minute") == 15
    assert seen.plugin.stop() == 0
    (event,) = [e for e in seen.plugin.records() if e["event"] == "repeated_denials"]
    assert event["user"] == "mallory"


def test_a_worker_that_is_replaced_is_measured_again_and_the_audit_chain_goes_on(
    observe: Observe,
) -> None:
    seen = observe()
    seen.plugin.post(REQUEST, LIST)
    (arbiter,) = children(seen.plugin.process.pid, "opa-authz")[:1]
    (worker,) = children(arbiter, "opa-authz")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: children(arbiter, "opa-authz") not in ([], [worker]), "a new worker")
    assert seen.plugin.post(REQUEST, LIST)["Allow"]
    requests = "opa_authz_requests_total"
    assert seen.value(requests, operation="container.list", verdict="allow") == 1
    assert seen.plugin.stop() == 0
    assert not [f for f in chain.verify(seen.folder / "audit.jsonl")[1] if f.is_fault]


def test_one_process_answers_whatever_signal_gunicorn_gets(observe: Observe) -> None:
    seen = observe()
    (arbiter,) = children(seen.plugin.process.pid, "opa-authz")[:1]
    workers = children(arbiter, "opa-authz")
    for number in (signal.SIGTTIN, signal.SIGHUP, signal.SIGUSR2):
        os.kill(arbiter, number)
    time.sleep(1.5)
    assert children(arbiter, "opa-authz") == workers
    assert len(workers) == 1


def test_standard_error_that_nobody_reads_holds_up_no_decision(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("profile: production\nlog: {level: debug, queue: 100}\n")
    plugin_socket = tmp_path / "plugin.sock"
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("opa-authz"),
            "serve",
            f"--config={config}",
            f"--socket={plugin_socket}",
        ],
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "OPA_AUTHZ_METRICS_LISTEN": f"unix:{tmp_path}/metrics.sock",
            "OPA_AUTHZ_AUDIT_FILE": f"{tmp_path}/audit.jsonl",
        },
    )
    assert process.stderr is not None
    try:
        wait_for(plugin_socket.exists, "the plugin", 30)
        seen = Observed(Plugin(process, plugin_socket, tmp_path / "none"), tmp_path)
        times = []
        with Connection(plugin_socket) as connection:
            for _ in range(1500):
                started = time.monotonic()
                connection.post(REQUEST, VOLUMES)
                times.append(time.monotonic() - started)
        assert sorted(times)[1485] < 0.5, "a busy machine may hold a few up"
        dropped = seen.value("opa_authz_journal_dropped_total", sink="log")
        assert dropped is not None
        assert dropped > 500
        assert seen.value("opa_authz_journal_dropped_total", sink="audit") == 0
        wait_for(lambda: seen.health()[0] == 503, "the plugin to notice", 20)
        assert seen.health()[1]["faults"] == {"log": "standard error takes nothing"}
        assert seen.health("/readyz")[0] == 200
        process.stderr.read(1 << 16)
    finally:
        process.terminate()
        process.stderr.close()
        assert process.wait(30) == 0
    events = [link.document["event"] for link in chain.read_links(tmp_path / "audit.jsonl")]
    assert events.count("blocked_operation") == 1500


def test_the_log_of_a_terminal_is_for_people(observe: Observe) -> None:
    seen = observe(OPA_AUTHZ_LOG_FORMAT="text")
    seen.plugin.post(REQUEST, VOLUMES)
    wait_for(lambda: "DENY" in seen.plugin.log, "the line")
    assert "DENY  volume.list [sections.operation operation]" in seen.plugin.log
    assert not seen.plugin.records()


def test_every_line_of_the_log_is_json_otherwise(observe: Observe) -> None:
    seen = observe("engine: opa\nlog: {level: debug}\n")
    seen.plugin.post(REQUEST, LIST)
    seen.plugin.reload()
    (opa,) = children(seen.plugin.process.pid, "opa")
    os.kill(opa, signal.SIGKILL)
    wait_for(lambda: "started again" in seen.plugin.log, "the notice")
    assert seen.plugin.stop() == 0
    for line in seen.plugin.log.splitlines():
        assert orjson.loads(line)


def test_opas_own_decision_log_carries_our_decision_id(observe: Observe) -> None:
    seen = observe("opa: {decision_log: true}\n")
    message = seen.plugin.post(REQUEST, VOLUMES)["Msg"]
    decision_id = message.partition("(decision ")[2].rstrip(")")

    def logged() -> list[Any]:
        lines = [orjson.loads(line) for line in seen.plugin.log.splitlines()]
        events = [line for line in lines if line.get("msg") == "Decision Log"]
        path = ("request_context", "http", "headers", "X-Decision-Id")
        return [e for e in events if _at(e, path) == [decision_id]]

    wait_for(logged, "OPA's line")
    (event,) = logged()
    assert event["result"]["denials"] == [{"rule": "sections.operation", "field": "operation"}]
    assert event["input"]["request"] == {"method": "GET", "api_version": "1.41"}
    assert "body" not in event["input"]


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name, {})
    return value


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_is_told_that_it_serves_lives_and_stops(
    observe: Observe, tmp_path: Path, kind: str
) -> None:
    address = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        if kind == "abstract":
            address = f"@opa-authz-{os.getpid()}"
        manager.bind(address.replace("@", "\0", 1) if kind == "abstract" else address)
        manager.settimeout(20)
        seen = observe(NOTIFY_SOCKET=address)
        assert manager.recv(100) == b"READY=1"
        assert call(seen.plugin.socket, "POST", "/Plugin.Activate").status == 200
        assert manager.recv(100) == b"WATCHDOG=1"
        assert seen.plugin.stop() == 0
        told = set()
        manager.settimeout(0.2)
        while True:
            try:
                told.add(manager.recv(100))
            except TimeoutError:
                break
    assert told <= {b"WATCHDOG=1", b"STOPPING=1"}
    assert b"STOPPING=1" in told


def is_silent(manager: socket.socket) -> bool:
    """Whether nothing is told for two seconds."""
    manager.settimeout(2)
    try:
        manager.recv(100)
    except TimeoutError:
        return True
    return False


def test_the_watchdog_is_not_fed_while_nobody_answers(observe: Observe, tmp_path: Path) -> None:
    address = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(20)
        seen = observe(NOTIFY_SOCKET=address)
        (arbiter,) = children(seen.plugin.process.pid, "opa-authz")[:1]
        family = [arbiter, *children(arbiter, "opa-authz")]
        for pid in family:
            freeze(pid)
        try:
            stopped = time.monotonic()
            wait_for(lambda: is_silent(manager), "silence", 20)
            assert time.monotonic() - stopped > 5
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)
        manager.settimeout(5)
        assert manager.recv(100) == b"WATCHDOG=1"
