"""The protocol as real daemons speak it: discovery, TLS, restarts, reloads, hidden bodies."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.certificates import Authority
from tests.harness.client import Response, call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.plugin import running_plugin, wait_for
from tests.real.conftest import TESTED, Guard, Guarded, guard_with

PLUGIN_JSON = Path(__file__).parents[2] / "plugin.json"
PLUGINS = Path("/run/docker/plugins")


@pytest.fixture(params=TESTED)
def production(guard: Guard, request: pytest.FixtureRequest) -> Guarded:
    return guard(request.param, "production")


@pytest.fixture
def dockerd() -> Iterator[Dockerd]:
    """A dockerd of the newest engine that asks nobody yet."""
    with scratch_dockerd(prepare(NEWEST)) as daemon:
        yield daemon


@pytest.fixture
def name() -> str:
    return f"opa-authz-{os.getpid()}-{time.monotonic_ns()}"


def is_guarded(dockerd: Dockerd) -> bool:
    return "authorization denied" in call(dockerd.socket, "GET", "/volumes").text


def test_an_idle_plugin_answers_at_once(production: Guarded) -> None:
    production.succeeds("ps")
    times: list[float] = []
    while not times or (times[-1] >= 0.5 and len(times) < 3):  # a busy machine may be late once
        time.sleep(4)
        started = time.monotonic()
        assert production.get("/containers/json").status == 200
        times.append(time.monotonic() - started)
    assert times[-1] < 0.5


def test_all_denials_of_a_request_come_in_one_message(production: Guarded) -> None:
    message = production.is_denied(
        "run",
        "--privileged",
        "--pid=host",
        "--cap-add=SYS_ADMIN",
        "--volume=/etc:/etc",
        IMAGE,
        by="privileged.container HostConfig.Privileged",
    )
    for rule in (
        "namespaces.host HostConfig.PidMode",
        "capabilities.add HostConfig.CapAdd[0]",
        "mounts.source HostConfig.Binds[0]",
    ):
        assert f"[{rule}]" in message
    assert "rules deny this" in message


def test_a_message_stays_short_whatever_is_asked_for(production: Guarded) -> None:
    binds = [f"/{'x' * 300}/{i}:/{i}" for i in range(50)]
    response = production.post(
        "/containers/create", {"Image": IMAGE, "HostConfig": {"Binds": binds}}
    )
    assert response.status == 403
    assert len(json.loads(response.text)["message"].encode()) < 1200
    assert "(decision " in response.text


def test_the_decision_id_of_the_message_is_in_the_log(production: Guarded) -> None:
    message = production.is_denied("volume", "ls", by="sections.operation")
    decision_id = message.partition("(decision ")[2].partition(")")[0]
    wait_for(
        lambda: decision_id in {r["decision_id"] for r in production.plugin.records()},
        "the decision in the log",
    )


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a charset": ({"HostConfig": {"Privileged": True}}, "application/json; charset=utf-8"),
    "lower case": ({"hostconfig": {"privileged": True}}, "application/json"),
    "a long s": ({"Ho\u017ftConfig": {"Privileged": True}}, "application/json"),
    "a Kelvin sign": ({"HostConfig": {"Networ\u212aMode": "host"}}, "application/json"),
    "a string for a list": ({"HostConfig": {"CapAdd": "ALL"}}, "application/json"),
    "the top level": ({"Privileged": True}, "application/json"),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_a_spelling_that_only_dockerd_understands_is_understood(
    production: Guarded, trick: str
) -> None:
    body, content_type = HOSTILE[trick]
    response = create(
        production, json.dumps({"Image": IMAGE, **body}, ensure_ascii=False), content_type
    )
    assert response.status == 403, response


@pytest.mark.parametrize(
    "text",
    [
        '{"Image": "%s", "HostConfig": {"Privileged": true}, "HostConfig": {"CapDrop": ["KILL"]}}',
        '{"Image": "%s", "HostConfig": {"Privileged": true}, "hostConfig": {}}',
        '{"Image": "%s"}} {"HostConfig": {"Privileged": true}}',
        '\ufeff{"Image": "%s", "HostConfig": {"Privileged": true}}',
    ],
    ids=["given twice", "given twice in two cases", "trailing bytes", "a byte-order mark"],
)
def test_a_body_that_can_be_read_in_two_ways_is_denied(production: Guarded, text: str) -> None:
    response = create(production, text % IMAGE, "application/json")
    assert response.status in {400, 403}, response


def test_a_body_that_dockerd_hides_is_denied(production: Guarded) -> None:
    """Old engines show no chunked bodies (CVE-2024-41110), newer ones none of 1 MiB and more."""
    body = json.dumps({"Image": IMAGE, "HostConfig": {"Privileged": True}})
    padded = json.dumps(
        {"Image": IMAGE, "HostConfig": {"Privileged": True}, "Env": ["x" * 1_100_000]}
    )
    assert chunked(production, body).status == 403
    assert create(production, padded, "application/json").status in {403, 500}


def create(guarded: Guarded, body: str, content_type: str) -> Response:
    headers = {"Content-Type": content_type}
    return call(guarded.dockerd.socket, "POST", "/containers/create", headers, body.encode())


def chunked(guarded: Guarded, body: str) -> Response:
    content = body.encode()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(30)
        raw.connect(str(guarded.dockerd.socket))
        raw.sendall(
            b"POST /containers/create HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + f"{len(content):x}\r\n".encode()
            + content
            + b"\r\n0\r\n\r\n"
        )
        answer = b""
        while part := raw.recv(65536):
            answer += part
    return Response(int(answer.split()[1]), answer.decode())


def test_a_daemon_that_boots_guarded_serves_nobody_unguarded(guard: Guard) -> None:
    config = {"authorization-plugins": [guard(NEWEST, "production").name]}
    with scratch_dockerd(prepare(NEWEST), config) as booted:
        assert is_guarded(booted)


def test_a_daemon_does_not_start_without_its_plugin(name: str) -> None:
    config = {"authorization-plugins": [name]}
    with (
        pytest.raises(RuntimeError, match="failed to validate authorization plugin"),
        scratch_dockerd(prepare(NEWEST), config),
    ):
        pass


def test_a_restarted_plugin_is_used_without_a_hand(
    tmp_path: Path, dockerd: Dockerd, name: str
) -> None:
    plugin_socket = PLUGINS / f"{name}.sock"
    with running_plugin(tmp_path, socket_=plugin_socket):
        guard_with(dockerd, name)
    with running_plugin(tmp_path, socket_=plugin_socket):
        assert is_guarded(dockerd)
        assert dockerd.docker("ps").returncode == 0


@pytest.mark.parametrize("engine", TESTED)
def test_sighup_switches_off_a_plugin_that_only_the_command_line_names(
    guard: Guard, engine: str
) -> None:
    """Why README says daemon.json: dockerd takes the list from there alone when it reloads."""
    flag = f"--authorization-plugin={guard(engine, 'production').name}"
    with scratch_dockerd(prepare(engine), {}, flag) as daemon:
        assert is_guarded(daemon)
        daemon.reload({})
        wait_for(lambda: not is_guarded(daemon), "authorization to be switched off")


@pytest.mark.parametrize("engine", TESTED)
def test_sighup_keeps_a_plugin_that_daemon_json_names(guard: Guard, engine: str) -> None:
    guarded = guard(engine, "production")
    guarded.dockerd.reload({"authorization-plugins": [guarded.name]})
    time.sleep(1)
    assert is_guarded(guarded.dockerd)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def tls_config(tmp_path: Path, authority: Authority) -> tuple[Path, int]:
    """Settings of a plugin that serves TCP with mutual TLS, and its port."""
    certificate, key = authority.issue("plugin")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    config = tmp_path / "config.yaml"
    config.write_text(
        f"profile: production\nserver:\n  listen: 127.0.0.1:{port}\n"
        f"  certificate: {certificate}\n  key: {key}\n  client_ca: {authority.ca}\n"
    )
    return config, port


@pytest.fixture
def plugin_json(
    name: str, authority: Authority, tls_config: tuple[Path, int]
) -> Iterator[dict[str, Any]]:
    """plugin.json, installed for dockerd with this test's address and certificates."""
    certificate, key = authority.issue("dockerd")
    spec: dict[str, Any] = json.loads(PLUGIN_JSON.read_text())
    spec["Addr"] = f"https://127.0.0.1:{tls_config[1]}"
    spec["TLSConfig"] |= {
        "CAFile": str(authority.ca),
        "CertFile": str(certificate),
        "KeyFile": str(key),
    }
    file = Path(f"/etc/docker/plugins/{name}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(spec))
    yield spec
    file.unlink()


@pytest.mark.parametrize("engine", TESTED)
def test_tcp_with_mutual_tls_through_plugin_json(
    tmp_path: Path,
    name: str,
    engine: str,
    tls_config: tuple[Path, int],
    plugin_json: dict[str, Any],
) -> None:
    with (
        running_plugin(tmp_path, f"--config={tls_config[0]}") as plugin,
        scratch_dockerd(prepare(engine)) as daemon,
    ):
        assert f'"listens":"127.0.0.1:{tls_config[1]}"' in plugin.log
        guard_with(daemon, name)
        assert daemon.docker("ps").returncode == 0
        assert is_guarded(daemon)


def test_a_client_without_a_certificate_of_the_authority_gets_no_answer(
    tmp_path: Path, authority: Authority, tls_config: tuple[Path, int]
) -> None:
    stranger = Authority(tmp_path / "stranger").issue("dockerd")
    with running_plugin(tmp_path, f"--config={tls_config[0]}"):
        for credentials in (None, stranger):
            context = ssl.create_default_context(cafile=str(authority.ca))
            if credentials is not None:
                context.load_cert_chain(*map(str, credentials))
            assert ask_over_tls(context, tls_config[1]) == b""
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.load_cert_chain(*map(str, authority.issue("dockerd")))
        assert b'"authz"' in ask_over_tls(context, tls_config[1])
        assert ask_in_plain(tls_config[1]) == b""


def ask_over_tls(context: ssl.SSLContext, port: int) -> bytes:
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            return ask(secured)
    except (ssl.SSLError, ConnectionError):
        return b""


def ask_in_plain(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        answer = ask(raw)
    return answer if b'"authz"' in answer else b""


def ask(connection: socket.socket) -> bytes:
    connection.sendall(
        b"POST /Plugin.Activate HTTP/1.1\r\n"
        b"Host: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def test_clients_go_on_while_the_plugin_takes_over_a_policy(guard: Guard) -> None:
    guarded = guard(TESTED[-1], "production")
    taken_over = guarded.plugin.log.count("is in force")
    guarded.plugin.process.send_signal(signal.SIGHUP)
    for _ in range(10):
        guarded.succeeds("ps")
    wait_for(lambda: guarded.plugin.log.count("is in force") > taken_over, "the policy")
