"""The operator's tools as an operator runs them: on guarded daemons, old and new, and unguarded."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from authz_plugin.dockerd import read
from authz_plugin.policy import config_schema
from authz_plugin.protocol import read_request
from authz_plugin.settings import load
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.console.run_options import create_request
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange
from authz_plugin.tools.explanation.capture import capture
from authz_plugin.tools.sandbox import open_sandbox
from authz_plugin.tools.validation.probes import PROBES
from authz_plugin.tools.validation.runner import Validation
from tests.harness.certificates import Authority
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.in_process import Ended, run_command
from tests.harness.inventory import take_stored_inventory
from tests.harness.plugin import wait_for
from tests.harness.prometheus import free_port
from tests.real.conftest import TESTED, Guard, Guarded, prepare_content


@pytest.fixture(params=TESTED)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def production(guard: Guard, engine: str) -> Guarded:
    return guard(engine, "production")


@pytest.fixture(scope="module")
def unguarded() -> Iterator[Dockerd]:
    with scratch_dockerd(prepare(NEWEST)) as dockerd:
        prepare_content(dockerd)
        yield dockerd


def opa_authz(*arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command within this process.

    The tests of interruptions and terminals, and those of the docs, run the installed program.
    """
    return run_command(Path.cwd(), *arguments, environment=environment or {})


def on(guarded: Guarded, command: str, *arguments: str) -> Ended:
    """Run a command on a guarded daemon, with the settings of its plugin."""
    config = f"--config={guarded.workspace.parent / 'config.yaml'}"
    root = {"OPA_AUTHZ_DATA_ROOT": str(guarded.dockerd.data_root)}
    host = f"--host=unix://{guarded.dockerd.socket}"
    return opa_authz(command, host, config, *arguments, environment=root)


def checks(done: Ended) -> dict[str, Any]:
    return {check["id"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.mark.parametrize("profile", ["production", "devcontainer"])
def test_validate_passes_on_a_guarded_daemon_and_leaves_nothing_behind(
    guard: Guard, engine: str, profile: str
) -> None:
    guarded = guard(engine, profile)
    before = take_stored_inventory(guarded.dockerd)
    done = on(guarded, "validate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "✓ All checks passed" in done.stdout
    assert "Incorrectly allowed: 0" in done.stdout
    for group in ("Prerequisites: MET", "Denied operations: BLOCKED", "Settings: SOUND"):
        assert group in done.stdout
    found = re.search(r"Total checks run: (\d+)\nPassed: (\d+)", done.stdout)
    assert found is not None
    assert int(found[1]) == int(found[2]) > 43
    assert take_stored_inventory(guarded.dockerd) == before


def test_validate_makes_looks_at_and_removes_a_container_that_is_allowed_and_writes_junit(
    production: Guarded, tmp_path: Path
) -> None:
    file = tmp_path / "report.xml"
    done = on(production, "validate", f"--junit={file}", "--json")
    assert checks(done)["life"]["passed"] is True
    made = [r for r in production.plugin.records() if r.get("operation") == "container.remove"]
    assert any("opa-authz-validate-" in str(record.get("resource")) for record in made)
    started = [r for r in production.plugin.records() if r.get("operation") == "container.start"]
    assert not any("opa-authz-validate-" in str(record.get("resource")) for record in started)
    summary = json.loads(done.stdout)["summary"]
    suites = ET.parse(file).getroot().findall("testsuite")
    assert len(suites) == 5
    counted = {name: sum(int(s.attrib[name]) for s in suites) for name in ("tests", "failures")}
    assert counted["tests"] == summary["run"] + summary["skipped"]
    assert counted["failures"] == summary["failed"] == 0


def test_validate_fails_on_an_unguarded_daemon_and_still_leaves_nothing_behind(
    unguarded: Dockerd,
) -> None:
    before = take_stored_inventory(unguarded)
    host = f"--host=unix://{unguarded.socket}"
    done = opa_authz("validate", host, "--profile=production", "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["passed"] is False
    assert report["summary"]["correctly_blocked"] == 0
    assert report["summary"]["incorrectly_allowed"] > 100
    assert checks(done)["privileged"]["observed"] == "allowed"
    assert checks(done)["enforcement"]["passed"] is False
    assert take_stored_inventory(unguarded) == before
    said = opa_authz("validate", host, "--profile=production").stdout
    assert "✗ NOT SAFE: this daemon allows what its configuration denies" in said


def test_validate_tells_a_plugin_that_runs_with_other_settings(guard: Guard) -> None:
    """On the newest engine alone: the plugin denies these requests, with whatever engine."""
    production = guard(NEWEST, "production")
    host = f"--host=unix://{production.dockerd.socket}"
    done = opa_authz("validate", host, "--profile=devcontainer", "--json")
    assert done.returncode == 3
    assert checks(done)["running-policy"]["passed"] is False
    assert checks(done)["operation.volume.list"]["expected"] == "allowed"
    assert checks(done)["operation.volume.list"]["observed"] == "denied"
    assert json.loads(done.stdout)["summary"]["incorrectly_allowed"] == 0


def test_validate_in_warn_mode_says_that_nothing_is_enforced(guard: Guard) -> None:
    """On the newest engine alone: what is said is of the settings, which no engine reads."""
    production = guard(NEWEST, "production")
    host = f"--host=unix://{production.dockerd.socket}"
    done = opa_authz("validate", host, environment={"OPA_AUTHZ_MODE": "warn"})
    assert done.returncode == 3
    assert "✗ the policy is in mode enforce" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_validate_leaves_nothing_behind_when_it_is_interrupted(
    guard: Guard, number: signal.Signals
) -> None:
    """On the newest engine alone: it removes what it made by one request, the same to all."""
    production = guard(NEWEST, "production")
    before = take_stored_inventory(production.dockerd)
    config = f"--config={production.workspace.parent / 'config.yaml'}"
    host = f"--host=unix://{production.dockerd.socket}"
    program = str(Path(sys.executable).with_name("opa-authz"))
    made = production.plugin.log.count("opa-authz-probe-of-nothing")
    with subprocess.Popen(
        [program, "validate", host, config],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - as a shell
    ) as process:
        wait_for(
            lambda: production.plugin.log.count("opa-authz-probe-of-nothing") > made, "a probe", 30
        )
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == 1
    assert take_stored_inventory(production.dockerd) == before


def test_validate_removes_its_container_when_it_is_interrupted_just_then(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the newest engine alone, as the test before."""
    production = guard(NEWEST, "production")
    made = []

    def interrupted(endpoint: Endpoint, request: Request, *rest: float) -> Reply:
        if "opa-authz-validate-" in request.target and request.method == "GET":
            raise KeyboardInterrupt
        reply = exchange(endpoint, request, *rest)
        if "opa-authz-validate-" in request.target:
            made.append((request.method, reply.status))
        return reply

    monkeypatch.setattr("authz_plugin.tools.validation.runner.exchange", interrupted)
    before = take_stored_inventory(production.dockerd)
    endpoint = Endpoint("unix://", unix=production.dockerd.socket)
    settings = load({("config",): production.workspace.parent / "config.yaml"}, {}, config_schema())
    with open_sandbox(settings) as sandbox, pytest.raises(KeyboardInterrupt):
        Validation(endpoint, sandbox, Client(), progress=lambda *_: None).run()
    assert made == [("POST", 201), ("DELETE", 204)]
    assert take_stored_inventory(production.dockerd) == before


@pytest.fixture(scope="module", params=TESTED)
def asking_nobody(request: pytest.FixtureRequest) -> Iterator[Dockerd]:
    """An unguarded daemon, with a swarm from the second test on."""
    with scratch_dockerd(prepare(request.param)) as dockerd:
        prepare_content(dockerd)
        yield dockerd


@pytest.mark.parametrize("swarm", [False, True])
def test_probes_leave_an_unguarded_daemon_as_it_was(asking_nobody: Dockerd, swarm: bool) -> None:
    dockerd = asking_nobody
    if swarm:
        dockerd.docker("swarm", "init", "--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1:0")
    commands = [
        ["ps", "--all", "--no-trunc", "--format={{.ID}} {{.State}} {{.Names}}"],
        ["images", "--all", "--no-trunc", "--format={{.ID}} {{.Repository}}:{{.Tag}}"],
        ["volume", "ls"],
        ["network", "ls", "--no-trunc", "--format={{.ID}} {{.Name}} {{.Driver}}"],
        ["plugin", "ls"],
        ["info", "--format={{json .Swarm.LocalNodeState}}"],
    ]
    if swarm:
        commands += [[kind, "ls"] for kind in ("service", "node", "secret", "config")]
    before = [listed(dockerd, *command) for command in commands]
    endpoint = Endpoint(str(dockerd.socket), unix=dockerd.socket)
    for probe in PROBES.values():
        exchange(endpoint, probe)
    done = opa_authz("validate", f"--host=unix://{dockerd.socket}", "--profile=production")
    assert done.returncode == 3
    assert [listed(dockerd, *command) for command in commands] == before


def listed(dockerd: Dockerd, *command: str) -> list[str]:
    """What the Docker CLI lists, but for networks that a swarm makes a while after its start."""
    lines = dockerd.docker(*command).stdout.splitlines()
    return [line for line in lines if " ingress " not in line and " docker_gwbridge " not in line]


def findings(done: Ended) -> dict[str, Any]:
    return {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}


def test_doctor_proves_enforcement_on_a_guarded_daemon(production: Guarded, engine: str) -> None:
    done = on(production, "doctor", "--json")
    found = findings(done)
    assert found["enforcement"]["severity"] == "ok"
    assert production.name in found["enforcement"]["what"]
    assert "privileged.container" in found["enforcement"]["what"]
    assert found["dockerd.plugin"]["severity"] == "ok"
    assert found["plugin.socket"]["severity"] == "ok"
    assert "dockerd.root-in-use" not in found
    assert found["containers.privileged"]["severity"] == "ok"
    assert ("engine.cve-2024-41110" in found) == (engine == "20.10")
    assert ("engine.cve-2026-34040" in found) == (engine == "20.10")
    assert found["engine.grpc"]["severity"] == "ok"
    assert done.returncode == (4 if engine == "20.10" else 0)


def test_doctor_finds_an_unguarded_daemon(unguarded: Dockerd) -> None:
    done = opa_authz(
        "doctor", f"--host=unix://{unguarded.socket}", "--profile=production", "--json"
    )
    found = findings(done)
    assert done.returncode == 3
    assert found["enforcement"]["severity"] == "critical"
    assert "enforcement is OFF" in found["enforcement"]["what"]
    assert found["engine.grpc"]["severity"] == "critical"
    assert "GODEBUG=http2server=0" in found["engine.grpc"]["fix"]
    assert "the front" in found["engine.grpc"]["fix"]
    assert found["dockerd.plugin-none"]["severity"] == "critical"
    assert str(unguarded.config_file) in found["dockerd.plugin-none"]["fix"]


def test_doctor_finds_a_plugin_that_looks_for_containers_elsewhere(production: Guarded) -> None:
    host = f"--host=unix://{production.dockerd.socket}"
    found = findings(opa_authz("doctor", host, "--profile=production", "--json"))
    assert found["dockerd.root-in-use"]["severity"] == "critical"
    assert str(production.dockerd.data_root) in found["dockerd.root-in-use"]["fix"]


def test_doctor_finds_dangerous_containers_that_run_already(unguarded: Dockerd) -> None:
    run = ["run", "--detach", "--stop-signal=KILL"]
    unguarded.docker(*run, "--name=boss", "--privileged", IMAGE, "sleep", "1000")
    mount = f"--volume={unguarded.socket}:/var/run/docker.sock:ro"
    unguarded.docker(*run, "--name=holder", mount, IMAGE, "sleep", "1000")
    unguarded.docker(*run, "--name=rooted", "--volume=/:/host", IMAGE, "sleep", "1000")
    unguarded.docker(*run, "--name=seer", "--pid=host", IMAGE, "sleep", "1000")
    try:
        done = opa_authz("doctor", f"--host=unix://{unguarded.socket}", "--json")
    finally:
        unguarded.docker("rm", "--force", "boss", "holder", "rooted", "seer")
    found = findings(done)
    assert found["containers.privileged"]["what"] == "running privileged: boss"
    assert found["containers.docker-socket"]["what"].endswith(": holder")
    assert found["containers.host-root"]["what"].endswith(": rooted")
    assert found["containers.host-namespace"]["what"].endswith(": seer")


def test_doctor_finds_a_plugin_that_only_the_flag_names(guard: Guard) -> None:
    name = guard(NEWEST, "production").name
    flag = f"--authorization-plugin={name}"
    with scratch_dockerd(prepare(NEWEST), None, flag) as dockerd:
        host = f"--host=unix://{dockerd.socket}"
        found = findings(opa_authz("doctor", host, "--profile=production", "--json"))
    assert found["dockerd.plugin-by-flag"]["severity"] == "critical"
    assert "SIGHUP" in found["dockerd.plugin-by-flag"]["why"]
    assert found["enforcement"]["severity"] == "ok"


def test_doctor_finds_an_open_tcp_listener_and_a_misspelt_key() -> None:
    config = {"authorization-plugin": ["opa-authz"]}
    address = f"tcp://127.0.0.1:{free_port()}"
    with scratch_dockerd(prepare("20.10"), {}, f"--host={address}") as dockerd:
        dockerd.config_file.write_text(json.dumps(config))
        found = findings(opa_authz("doctor", f"--host=unix://{dockerd.socket}", "--json"))
    assert found["dockerd.tcp-open"]["severity"] == "warning"
    assert address in found["dockerd.tcp-open"]["what"]
    assert found["dockerd.key-misspelt"]["severity"] == "critical"


def test_doctor_goes_on_where_no_daemon_answers(tmp_path: Path) -> None:
    done = opa_authz("doctor", f"--host=unix://{tmp_path}/none.sock", "--json")
    found = findings(done)
    assert done.returncode == 3
    assert found["api"]["severity"] == "critical"
    assert found["policy.mode"]["severity"] == "ok"


@pytest.fixture(scope="module", params=TESTED)
def docker(request: pytest.FixtureRequest) -> str:
    return str(prepare(request.param).docker)


def test_explain_runs_the_docker_cli_and_finds_what_would_allow_it(docker: str) -> None:
    done = opa_authz(
        "explain", "--profile=devcontainer", "--", docker, "run", "-v", "/srv/x:/x", "alpine"
    )
    assert done.returncode == 3, done.stderr
    assert "/srv/x (does not exist) -> /x, bind, writable [HostConfig.Binds[0]]" in done.stdout
    assert re.search(r"policies/docker/authz/rules/mounts/mounts\.rego:\d+\n", done.stdout)
    assert "adds path /srv/x to mounts.allow" in done.stdout
    assert "dockerd names nobody on its unix socket" in done.stdout


RUNS = (
    "-it --rm -v /a:/b:ro -v data:/d -v /anon -e A=b -l x -l y=z alpine sh -c 'echo 1'",
    "-d -p 80:80 -p 127.0.0.1:8000-8001:90-91/udp -p 99 --device /dev/b:/dev/c:r alpine",
    "--mount type=bind,source=/a,target=/b,readonly --tmpfs /run:size=1m --network host alpine",
    "--mount source=v,target=/v,volume-driver=local,volume-opt=o=bind --network none alpine",
    "--security-opt label=disable --cap-add CAP_SYS_ADMIN --cap-drop ALL --group-add 44 alpine",
    "--security-opt systempaths=unconfined --add-host b:1.2.3.4 --entrypoint /x --init alpine",
    "--pid host --ipc host --uts host --userns host --restart on-failure:3 --read-only alpine",
    "--memory 64m --memory-swap -1 --cpus 1.5 --pids-limit 5 --shm-size 1g --privileged alpine",
    "--ulimit nofile=1:2 --sysctl net.x=1 --log-driver none --network container:web alpine",
    "--volumes-from z:ro --device-cgroup-rule 'c 1:3 rw' --volume-driver nfs --gpus all alpine",
    "--runtime runc --cgroup-parent /p -u 0 -w /w --oom-score-adj 5 --dns 1.1.1.1 alpine",
)


@pytest.mark.parametrize("line", RUNS)
def test_the_console_reads_the_options_of_docker_run_as_the_docker_cli_does(
    docker: str, line: str
) -> None:
    own = dict(leaves(body_of(create_request(line))))
    sent, plain = (dict(leaves(body_of(created_by(docker, text)))) for text in (line, "alpine"))
    different = {place for place in sent | own if sent.get(place) != own.get(place)}
    by_default = {place for place in different if sent.get(place) == plain.get(place)}
    assert different <= by_default, {
        place: (sent.get(place), own.get(place)) for place in different
    }
    assert all(own.get(place) in UNSET for place in different)


UNSET = (None, False, 0, "", "[]", "{}")


def created_by(docker: str, line: str) -> Request:
    """The request by which a Docker CLI creates the container of a ``docker run``."""
    sent = capture([docker, "run", *shlex.split(line)], os.environ).requests
    (request,) = (one for one in sent if "/containers/create" in one.target)
    return request


def body_of(request: Request) -> Any:
    """The body as the plugin reads it."""
    message = read_request(authz_message(request, Client()))
    return read(message.method, message.uri, message.headers, message.body).body


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The parts of a body that are no maps, and empty maps; lists as text.

    Lists are sorted: the CLI 20.10 sends bind mounts in no fixed order.
    """
    if isinstance(value, list):
        value = sorted(value, key=json.dumps)
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{place}.{name}")
    else:
        yield place, value if isinstance(value, str | int | None) else json.dumps(value)


def test_explain_proposes_settings_under_which_the_command_is_allowed(
    docker: str, tmp_path: Path
) -> None:
    command = ["--", docker, "exec", "-it", "web", "sh"]
    done = opa_authz("explain", "--profile=production", "--json", *command)
    change = json.loads(done.stdout)["change_for_all"]["settings"]
    assert change == {
        "operations": {"exec.create": "allow", "exec.inspect": "allow", "exec.start": "allow"}
    }
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"profile": "production", **change}))
    assert opa_authz("explain", f"--config={config}", *command).returncode == 0


def test_explain_never_sends_a_command_to_a_daemon(unguarded: Dockerd, docker: str) -> None:
    here = {"DOCKER_HOST": f"unix://{unguarded.socket}"}
    done = opa_authz("explain", "--", docker, "volume", "create", "made", environment=here)
    assert "volume.create" in done.stdout
    elsewhere = opa_authz(
        "explain", "--", docker, f"--host=unix://{unguarded.socket}", "volume", "create", "made"
    )
    assert elsewhere.returncode == 1
    assert "it would send the command to a real daemon" in elsewhere.stderr
    assert "made" not in unguarded.docker("volume", "ls").stdout


def test_explain_neither_uses_nor_stores_credentials_and_writes_no_files(
    docker: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {"localhost:1": {"auth": "YTpi"}}}))
    before = config.read_text()
    here = {"DOCKER_CONFIG": str(tmp_path)}
    login = ["login", "--username=a", "--password=b", "localhost:2"]
    done = opa_authz("explain", "--", docker, *login, environment=here)
    assert "registry.login" in done.stdout
    target = tmp_path / "image.tar"
    saved = opa_authz("explain", "--", docker, "save", f"--output={target}", "x", environment=here)
    assert "image.export" in saved.stdout
    assert config.read_text() == before
    assert sorted(tmp_path.iterdir()) == [config]


def test_explain_finds_a_decision_that_a_person_was_given(production: Guarded) -> None:
    said = production.is_denied("volume", "ls", by="sections.operation")
    decision = re.search(r"decision ([0-9a-f]{16})", said)
    assert decision is not None
    log = f"--log={production.plugin.log_file}"
    done = opa_authz("explain", decision[1], log)
    assert done.returncode == 3
    assert "DENIED  volume.list" in done.stdout
    assert re.search(r"sections\.rego:\d+\n", done.stdout)
    unknown = opa_authz("explain", "0" * 16, log)
    assert unknown.returncode == 1
    assert "no decision 0000000000000000" in unknown.stderr


def test_explain_agrees_with_the_daemon_about_who_asks(guard: Guard, tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("alice", "ops")
    request = tmp_path / "request.http"
    request.write_text("GET /v1.44/volumes HTTP/1.1\nHost: docker\n\n")
    config = tmp_path / "config.yaml"
    role = {"callers": [{"user": "alice"}], "sections": {"volumes": "read"}}
    config.write_text(json.dumps({"profile": "production", "roles": {"ops": role}}))
    explain = ("explain", f"--config={config}", str(request))
    allowed = opa_authz(*explain, f"--cert={certificate}")
    assert allowed.returncode == 0
    assert "alice (TLS, O=ops, alice, 127.0.0.1)" in allowed.stdout
    assert opa_authz(*explain, "--user=alice").returncode == 0
    assert opa_authz(*explain).returncode == 3


def test_colour_is_for_terminals_alone(tmp_path: Path) -> None:
    request = tmp_path / "request.http"
    request.write_text("GET /_ping HTTP/1.1\n\n")
    plain = opa_authz("explain", str(request))
    assert "\x1b[" not in plain.stdout
    assert "\x1b[32m" in on_terminal("explain", str(request))
    assert "\x1b[" not in on_terminal("explain", str(request), NO_COLOR="1")


def on_terminal(*arguments: str, **environment: str) -> str:
    """What the installed command writes to a terminal."""
    ours, theirs = pty.openpty()
    program = Path(sys.executable).with_name("opa-authz")
    subprocess.run(
        [program, *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **environment},
        check=True,
        timeout=60,
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 1 << 16):
            written += part
    except OSError:  # a terminal whose other side is closed ends with an error
        pass
    finally:
        os.close(ours)
    return written.decode()
