"""The plugin as a process, with each of its engines: start, reload, faults, stop."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from authz_plugin import policy, settings
from authz_plugin.cli import cli
from authz_plugin.engine import binary
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Settings
from authz_plugin.supervisor.child_engine import ChildEngine
from authz_plugin.supervisor.run import _reload_policy
from tests.harness.in_process import run_command
from tests.harness.plugin import Connection, Plugin, children, freeze, running_plugin, wait_for

LIST = {"RequestMethod": "GET", "RequestUri": "/v1.41/containers/json"}
VOLUMES = {"RequestMethod": "GET", "RequestUri": "/v1.41/volumes"}
REQUEST = "/AuthZPlugin.AuthZReq"


ENGINES = ("embedded", "opa")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text("profile: production\n")
    return file


@pytest.fixture
def with_opa() -> dict[str, str]:
    """The environment of a plugin that decides with OPA's server."""
    return {"OPA_AUTHZ_ENGINE": "opa"}


@pytest.fixture
def opa_plugin(tmp_path: Path, config: Path, with_opa: dict[str, str]) -> Iterator[Plugin]:
    with running_plugin(tmp_path, f"--config={config}", environment=with_opa) as running:
        yield running


@pytest.fixture(params=ENGINES)
def any_plugin(request: pytest.FixtureRequest, tmp_path: Path, config: Path) -> Iterator[Plugin]:
    """A plugin with each of the engines."""
    environment = {"OPA_AUTHZ_ENGINE": request.param}
    with running_plugin(tmp_path, f"--config={config}", environment=environment) as running:
        yield running


@pytest.fixture
def plugin(tmp_path: Path, config: Path) -> Iterator[Plugin]:
    with running_plugin(tmp_path, f"--config={config}") as running:
        yield running


@pytest.fixture(scope="module")
def shared_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """A plugin for the tests that neither stop nor change it."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "config.yaml").write_text("profile: production\n")
    with running_plugin(folder, f"--config={folder / 'config.yaml'}") as running:
        yield running


def allowed(plugin: Plugin, message: dict[str, Any]) -> bool:
    answer: bool = plugin.post(REQUEST, message)["Allow"]
    return answer


def opa_pid(plugin: Plugin) -> int:
    (pid,) = children(plugin.process.pid, "opa")
    return pid


def own_rule(folder: Path, condition: str) -> Path:
    """A folder with a rule that denies under a condition."""
    rules = folder / "rules"
    rules.mkdir()
    text = f'package docker.authz.rules.custom_mine\n\ndenials contains "no" if {condition}\n'
    (rules / "mine.rego").write_text(text)
    return rules


def processes(plugin: Plugin) -> list[int]:
    """The processes below the plugin's own."""
    pid = plugin.process.pid
    return [*children(pid, "opa"), *children(pid, "opa-authz")]


def private_folder(plugin: Plugin) -> Path:
    """The folder in which a running plugin has its policies."""
    files = set()
    for link in Path(f"/proc/{plugin.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the plugin has closed it meanwhile
            files.add(link.readlink())
    (lock,) = {file for file in files if file.name == "plugin.lock"}
    return lock.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("opa-authz"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_says_what_it_guards_with_and_what_to_do_next(tmp_path: Path, config: Path) -> None:
    environment = {"OPA_AUTHZ_LOG_FORMAT": "text"}
    with running_plugin(tmp_path, f"--config={config}", environment=environment) as plugin:
        texts = ("profile   production", "revision ", str(plugin.socket), "daemon.json")
        for text in texts:
            assert text in plugin.log
        assert "engine    embedded: compiled by OPA to WebAssembly" in plugin.log
        assert "(the default)" in plugin.log


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("engine: embedded", "embedded: compiled by OPA to WebAssembly, run in this process"),
        ("engine: opa", "OPA 1."),
        ("opa: {decision_log: true}", "OPA 1."),
    ],
)
def test_it_says_which_engine_decides_and_why(
    tmp_path: Path, config: Path, text: str, engine: str
) -> None:
    config.write_text(f"profile: production\n{text}\n")
    with running_plugin(tmp_path, f"--config={config}") as plugin:
        assert engine in plugin.log
        why = text.replace("opa: {decision_log: true}", "opa.decision_log: set")
        assert f"({why.replace(':', ' is')})" in plugin.log
        assert allowed(plugin, LIST)


def test_rules_that_need_opas_server_are_decided_by_it(tmp_path: Path, config: Path) -> None:
    rules = own_rule(tmp_path, 'crypto.sha256("a") == input.request.path')
    options = (f"--config={config}", f"--policies={rules}")
    with running_plugin(tmp_path, *options) as plugin:
        assert "the policy calls crypto.sha256, which only OPA's server has" in plugin.log
        assert children(plugin.process.pid, "opa")
        assert allowed(plugin, LIST)
    done = run("serve", *options, "--engine=embedded", f"--socket={tmp_path}/p.sock")
    assert done.returncode == 1
    assert "which only OPA's server has: set engine to auto or opa" in done.stderr


def test_sighup_does_not_take_over_rules_that_need_opas_server(
    plugin: Plugin, config: Path, tmp_path: Path
) -> None:
    rules = own_rule(tmp_path, 'crypto.sha256("a") == input.request.path')
    config.write_text(f"profile: production\npolicies: {rules}\n")
    plugin.reload()
    assert "only OPA's server has: start the plugin again with engine opa" in plugin.log
    assert allowed(plugin, LIST)


def test_it_decides(shared_plugin: Plugin) -> None:
    assert shared_plugin.post("/Plugin.Activate") == {"Implements": ["authz"]}
    assert allowed(shared_plugin, LIST)
    assert not allowed(shared_plugin, VOLUMES)


def test_each_denial_is_logged_with_its_decision_id(shared_plugin: Plugin) -> None:
    message = shared_plugin.post(REQUEST, VOLUMES)["Msg"]

    def logged() -> list[dict[str, Any]]:
        return [one for one in shared_plugin.records() if one["decision_id"] in message]

    wait_for(logged, "the record")
    (record,) = logged()
    assert record["rules"] == ["sections.operation operation"]
    assert record["operation"] == "volume.list"


def test_nothing_is_left_when_it_stops(any_plugin: Plugin) -> None:
    plugin = any_plugin
    home = private_folder(plugin)
    assert home.exists()
    pids = processes(plugin)
    assert plugin.stop() == 0
    assert not plugin.socket.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not home.exists()
    assert "Traceback" not in plugin.log


def test_ctrl_c_stops_it_in_order(plugin: Plugin) -> None:
    plugin.process.send_signal(signal.SIGINT)
    assert plugin.process.wait(20) == 0
    assert "Traceback" not in plugin.log


def test_a_second_one_does_not_take_the_socket_away(shared_plugin: Plugin, config: Path) -> None:
    second = run("serve", f"--config={config}", f"--socket={shared_plugin.socket}")
    assert second.returncode == 1
    assert "another process serves" in second.stderr
    assert allowed(shared_plugin, LIST)


def test_an_idle_connection_stays_open(shared_plugin: Plugin) -> None:
    with Connection(shared_plugin.socket) as connection:
        connection.post(REQUEST, LIST)
        time.sleep(4)
        assert connection.post(REQUEST, LIST)["Allow"]


def test_idle_connections_keep_nobody_waiting(shared_plugin: Plugin) -> None:
    with ExitStack() as open_:
        times = []
        for _ in range(50):
            started = time.monotonic()
            open_.enter_context(Connection(shared_plugin.socket)).post(REQUEST, LIST)
            times.append(time.monotonic() - started)
        assert sorted(times)[45] < 0.5, "a busy machine may hold a few up"


def test_a_request_under_way_is_answered_before_it_stops(opa_plugin: Plugin) -> None:
    freeze(opa_pid(opa_plugin))
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(opa_plugin.post(REQUEST, LIST)))
    asking.start()
    time.sleep(0.3)
    opa_plugin.process.terminate()
    asking.join(20)
    assert [answer["Allow"] for answer in answers] == [False]
    assert "request.engine" in answers[0]["Msg"]
    assert opa_plugin.process.wait(20) == 0


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("profil: production\n", 2, "config.yaml:1: profil"),
        ("profile: none-such\n", 2, "config.yaml:1: profile"),
        ("profile: production\npolicies: /absent\n", 1, "/absent"),
        ("opa:\n  binary: /bin/true\n", 1, "/bin/true"),
    ],
)
def test_a_mistake_stops_the_start_in_one_sentence(
    config: Path, tmp_path: Path, text: str, status: int, message: str
) -> None:
    config.write_text(text)
    done = run("serve", f"--config={config}", f"--socket={tmp_path}/p.sock")
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "p.sock").exists()


def test_a_policy_that_does_not_compile_stops_the_start(config: Path, tmp_path: Path) -> None:
    rules = own_rule(tmp_path, "input.nope == 1")
    done = run("serve", f"--config={config}", f"--policies={rules}", f"--socket={tmp_path}/p.sock")
    assert done.returncode == 1
    assert "mine.rego:3" in done.stderr


def test_a_rule_that_cannot_be_computed_denies_everything_it_looks_at(
    tmp_path: Path, config: Path
) -> None:
    """Without strict builtin errors this denial would be absent, and the request allowed."""
    rules = own_rule(tmp_path, "time.parse_rfc3339_ns(input.request.path) < 0")
    with pytest.raises(AssertionError, match="no complete decision"):  # noqa: SIM117
        with running_plugin(tmp_path, f"--config={config}", f"--policies={rules}"):
            pass


def test_sighup_takes_over_a_changed_policy(plugin: Plugin, config: Path) -> None:
    assert not allowed(plugin, VOLUMES)
    config.write_text("profile: production\nsections:\n  volumes: read\n")
    plugin.reload()
    assert allowed(plugin, VOLUMES)
    assert "is in force" in plugin.log


def test_sighup_leaves_the_running_policy_where_the_new_one_is_wrong(
    plugin: Plugin, config: Path
) -> None:
    config.write_text("profile: production\nsections:\n  volumes: reed\n")
    plugin.reload()
    assert "config.yaml:3: sections.volumes: must be one of none, read, write" in plugin.log
    assert not allowed(plugin, VOLUMES)
    assert allowed(plugin, LIST)


def test_sighup_leaves_the_running_policy_where_there_is_no_room_for_the_new_one(
    any_plugin: Plugin, config: Path
) -> None:
    plugin = any_plugin
    home = private_folder(plugin)
    (home / "2").touch()
    config.write_text("profile: production\nsections:\n  volumes: read\n")
    plugin.reload()
    assert "the policy cannot be laid out" in plugin.log
    assert not allowed(plugin, VOLUMES)
    plugin.reload()
    assert allowed(plugin, VOLUMES)
    assert sorted(
        folder.name for folder in home.iterdir() if folder.is_dir() and folder.name != "policy"
    ) == ["3"]


def test_sighup_says_what_waits_for_a_restart(plugin: Plugin, config: Path) -> None:
    config.write_text(
        "profile: production\nsections: {volumes: read}\ndeadline: 5\nlog: {level: debug}\n"
    )
    plugin.reload()
    wait_for(lambda: "deadline, log: changed" in plugin.log, "what waits")
    assert "in force only after a restart" in plugin.log
    assert allowed(plugin, VOLUMES)


def test_a_defect_while_a_policy_is_taken_over_ends_nothing() -> None:
    said: list[str] = []
    shared_status = SharedStatus()

    def reload() -> Settings:
        raise KeyError("secret")

    _reload_policy(cast("Any", None), reload, shared_status, said.append)
    assert "the running one stays: a defect, KeyError at tests.test_plugin:" in said[0]
    assert "secret" not in said[0]
    assert shared_status.read()["reloads"]["refused"] == 1


def test_a_defect_after_a_policy_is_in_force_leaves_it_its_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared_status = SharedStatus()
    engine = ChildEngine(binary.find(), shared_status, print)
    loaded = settings.load({("config",): "/dev/null"}, {}, policy.config_schema())
    try:
        engine.start(loaded)

        def update(**news: Any) -> None:
            if "revision" in news:
                raise KeyError("a defect")

        monkeypatch.setattr(shared_status, "update", update)
        with pytest.raises(KeyError):
            engine.start(loaded)
        assert engine._running is not None
        assert engine._running.bundle.is_dir()
        assert engine._running.is_healthy()
    finally:
        engine.close()


def test_a_misspelt_command_is_told_the_command_that_is_like_it() -> None:
    done = CliRunner().invoke(cli, ["instal-opa"])
    assert done.exit_code == 2
    assert "Did you mean 'install-opa'?" in done.output


def test_a_defect_is_one_sentence_and_no_traceback() -> None:
    program = (
        "from authz_plugin import cli\n"
        "cli.cli.get_command(None, 'check').callback = lambda **_: {}['secret']\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "opa-authz: a defect, KeyError at __main__:2: please report it\n"


def test_sighup_takes_over_a_first_rule_with_its_test_beside_it(
    plugin: Plugin, config: Path, tmp_path: Path
) -> None:
    assert run_command(tmp_path, "policy", "new", "named", "--into=rules").returncode == 0
    create = {"Image": "busybox:1", "HostConfig": {"NetworkMode": "none"}}
    content = base64.b64encode(json.dumps(create).encode()).decode()
    nameless = {
        "RequestMethod": "POST",
        "RequestUri": "/v1.41/containers/create",
        "RequestHeaders": {"Content-Type": "application/json"},
        "RequestBody": content,
    }
    named = {**nameless, "RequestUri": "/v1.41/containers/create?name=web"}
    assert allowed(plugin, nameless)
    config.write_text(f"profile: production\npolicies: {tmp_path / 'rules'}\n")
    plugin.reload()
    assert allowed(plugin, named)
    assert "[custom.named query.name]" in plugin.post(REQUEST, nameless)["Msg"]


def test_no_request_fails_or_is_decided_wrongly_while_the_policy_changes(
    plugin: Plugin, config: Path
) -> None:
    answers: list[bool] = []
    stop = threading.Event()

    def ask() -> None:
        with Connection(plugin.socket) as connection:
            while not stop.is_set():
                answers.append(connection.post(REQUEST, LIST)["Allow"])

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for threads in range(1, 4):
        config.write_text(f"profile: devcontainer\nserver:\n  threads: {threads}\n")
        plugin.reload()
    stop.set()
    for thread in asking:
        thread.join()
    assert len(answers) > 100
    assert all(answers)


def test_a_killed_opa_is_started_again_and_nobody_is_refused_for_it(
    tmp_path: Path, config: Path, with_opa: dict[str, str]
) -> None:
    config.write_text("profile: production\ndeadline: 8\n")  # a busy machine takes its time
    with running_plugin(tmp_path, f"--config={config}", environment=with_opa) as plugin:
        killed = opa_pid(plugin)
        os.kill(killed, signal.SIGKILL)
        assert allowed(plugin, LIST)
        assert killed not in children(plugin.process.pid, "opa")


def test_an_opa_whose_program_is_gone_is_started_when_it_is_back(
    tmp_path: Path, config: Path, with_opa: dict[str, str]
) -> None:
    program, away = tmp_path / "opa", tmp_path / "away"
    shutil.copy(binary.find().path, program)
    config.write_text(f"profile: production\nopa: {{binary: {program}}}\n")
    with running_plugin(tmp_path, f"--config={config}", environment=with_opa) as plugin:
        killed = opa_pid(plugin)
        program.rename(away)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: "OPA cannot be started" in plugin.log, "the plugin to notice")
        assert not allowed(plugin, LIST)
        away.rename(program)
        wait_for(lambda: allowed(plugin, LIST), "decisions", 15)


def test_a_hanging_opa_denies_within_the_deadline_and_is_replaced(opa_plugin: Plugin) -> None:
    hanging = opa_pid(opa_plugin)
    freeze(hanging)
    started = time.monotonic()
    answer = opa_plugin.post(REQUEST, LIST)
    assert not answer["Allow"]
    assert "request.engine" in answer["Msg"]
    assert time.monotonic() - started < 5
    wait_for(lambda: hanging not in children(opa_plugin.process.pid, "opa"), "OPA's end", 15)
    wait_for(lambda: allowed(opa_plugin, LIST), "decisions", 5)


def test_a_killed_worker_is_replaced(plugin: Plugin) -> None:
    (arbiter,) = children(plugin.process.pid, "opa-authz")[:1]
    (worker,) = children(arbiter, "opa-authz")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: children(arbiter, "opa-authz") not in ([], [worker]), "a new worker")
    wait_for(lambda: allowed(plugin, LIST), "decisions")


def test_nothing_survives_a_plugin_that_is_killed(any_plugin: Plugin) -> None:
    plugin = any_plugin
    pids = processes(plugin)
    plugin.process.kill()
    plugin.process.wait()

    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    wait_for(lambda: not any(map(alive, pids)), "all processes to end")


def test_a_socket_left_by_a_killed_plugin_is_replaced(tmp_path: Path, config: Path) -> None:
    with running_plugin(tmp_path, f"--config={config}") as first:
        first.process.kill()
        first.process.wait()
        assert first.socket.is_socket()
        with running_plugin(tmp_path, f"--config={config}") as second:
            assert allowed(second, LIST)


def test_what_a_killed_plugin_left_behind_is_removed_by_the_next(
    tmp_path: Path, config: Path
) -> None:
    with running_plugin(tmp_path, f"--config={config}") as first:
        left = private_folder(first)
        assert left.name.startswith("opa-authz-")
        first.process.kill()
        first.process.wait()
        with running_plugin(tmp_path, f"--config={config}"):
            assert not left.exists()


def test_garbage_on_the_socket_is_answered_and_harms_nobody(shared_plugin: Plugin) -> None:
    for garbage in (
        b"\x00" * 1000,
        b"GET\r\n\r\n",
        b"POST / HTTP/9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n",
    ):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(str(shared_plugin.socket))
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            assert b'"Allow":true' not in raw.recv(65536)
    assert allowed(shared_plugin, LIST)
    assert "Traceback" not in shared_plugin.log


def test_an_opa_of_the_operators_own_decides_with_a_bundle_that_the_plugin_made(
    tmp_path: Path, config: Path
) -> None:
    config.write_text("profile: devcontainer\n")
    bundle, opa_socket = tmp_path / "bundle.tar.gz", tmp_path / "opa.sock"
    made = run_command(tmp_path, "bundle", f"--config={config}", f"--output={bundle}")
    assert made.returncode == 0, made.stderr
    opa = subprocess.Popen(
        [
            Path(sys.executable).with_name("opa"),
            "run",
            "--server",
            "--log-level=error",
            f"--addr=unix://{opa_socket}",
            "--bundle",
            bundle,
        ],
        stderr=subprocess.DEVNULL,
    )
    config.write_text(f"opa:\n  url: unix:{opa_socket}\n")
    try:
        wait_for(opa_socket.exists, "OPA")
        with running_plugin(tmp_path, f"--config={config}") as plugin:
            assert '"profile":"devcontainer"' in plugin.log
            assert children(plugin.process.pid, "opa") == []
            assert allowed(plugin, VOLUMES)
            opa.terminate()
            opa.wait(10)
            assert not allowed(plugin, VOLUMES)
    finally:
        opa.kill()
        opa.wait()


def test_without_the_operators_opa_it_starts_and_denies(tmp_path: Path, config: Path) -> None:
    config.write_text(f"opa:\n  url: unix:{tmp_path}/absent.sock\ndeadline: 0.2\n")
    with running_plugin(tmp_path, f"--config={config}") as plugin:
        assert "every request is denied until OPA decides" in plugin.log
        assert not allowed(plugin, LIST)


def test_policy_settings_beside_the_operators_opa_are_refused_not_ignored(
    tmp_path: Path, config: Path
) -> None:
    config.write_text(f"opa:\n  url: unix:{tmp_path}/opa.sock\nprofile: production\n")
    done = run("serve", f"--config={config}", f"--socket={tmp_path}/p.sock")
    assert done.returncode == 1
    assert "opa-authz bundle" in done.stderr
