"""Native gRPC on a real Docker 29: closed by the drop-in, or by the front, and nothing else is."""

from __future__ import annotations

import http.client
import json
import os
import pty
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.errors import EndpointError
from authz_plugin.tools import grpc_call
from authz_plugin.tools.docker_client import Endpoint, Reply, Tls
from tests.harness.certificates import Authority
from tests.harness.client import call, connect
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import CACHE, NEWEST, prepare, unpack
from tests.harness.front import (
    USER,
    Front,
    Places,
    listening,
    places,
    running_front,
    without_http2,
)
from tests.harness.plugin import running_plugin, wait_for
from tests.real.conftest import guard_with, prepare_content

METHOD: Final = "/moby.buildkit.v1.Control/ListWorkers"
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CLIENTS: Final = 64018
"""The group that may use the front's socket, as ``docker`` on a host."""
OTHER: Final = 64019
"""A user who is in no group."""
REFUSED: Final = Reply(0, {}, b"")


@dataclass
class Host:
    """A guarded dockerd that listens behind a front, on a unix socket and with TLS."""

    dockerd: Dockerd
    front: Front
    places: Places
    tls_engine: int
    tls_port: int
    tls: Tls
    folder: Path

    @property
    def socket(self) -> Path:
        """The front's."""
        return self.places.clients_path

    @property
    def engine(self) -> Path:
        """dockerd's own."""
        return self.places.engine_path


def activated() -> tuple[socket.socket, int]:
    opened = socket.create_server(("127.0.0.1", 0))
    return opened, int(opened.getsockname()[1])


def tls_flags(folder: Path) -> tuple[list[str], Tls]:
    """dockerd's flags for TLS, and a client's files, also by the names that Docker expects."""
    authority = Authority(folder)
    certificate, key = authority.issue("docker")
    for name, file in (("cert.pem", certificate), ("key.pem", key)):
        (folder / name).write_bytes(file.read_bytes())
    flags = [f"--tlscacert={authority.ca}", f"--tlscert={certificate}", f"--tlskey={key}"]
    return ["--tlsverify", *flags], Tls(
        verify=True, ca=authority.ca, certificate=certificate, key=key
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("front")
    name = f"opa-authz-{os.getpid()}-front"
    flags, tls = tls_flags(folder / "tls")
    with ExitStack() as cleanup:
        own, tls_engine = activated()
        public, tls_port = activated()
        cleanup.enter_context(own)
        cleanup.enter_context(public)
        at = cleanup.enter_context(places())
        dockerd = cleanup.enter_context(
            scratch_dockerd(prepare(NEWEST), None, *flags, activated=[at.engine, own])
        )
        config = folder / "config.yaml"
        config.write_text(
            f"profile: devcontainer\ndata_root: {dockerd.data_root}\n"
            "operations: {build.grpc: allow, build.session: allow}\n"
        )
        cleanup.enter_context(
            running_plugin(
                folder, f"--config={config}", socket_=Path(f"/run/docker/plugins/{name}.sock")
            )
        )
        prepare_content(dockerd)
        guard_with(dockerd, name)
        os.chown(at.clients_path, 0, CLIENTS)
        dockerd.socket = at.clients_path
        front = cleanup.enter_context(
            running_front(
                at.folder / "front", at.engine_path, [at.clients, public], f"127.0.0.1:{tls_engine}"
            )
        )
        yield Host(dockerd, front, at, tls_engine, tls_port, tls, folder)


def grpc(endpoint: Endpoint) -> Reply:
    """A native gRPC call; a connection that ends in the handshake is a refusal, too."""
    try:
        return grpc_call.call(endpoint, METHOD, 10)
    except EndpointError as error:
        if "Connection refused" in str(error):
            raise
        return REFUSED


def unix(path: Path) -> Endpoint:
    return Endpoint(f"unix://{path}", unix=path)


def tcp(port: int, tls: Tls) -> Endpoint:
    return Endpoint(f"tcp://127.0.0.1:{port}", address=("127.0.0.1", port), tls=tls)


def succeeds(dockerd: Dockerd, *arguments: str, text: str = "") -> str:
    done = dockerd.docker(*arguments, check=False, text=text)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# What clients do.


def test_ordinary_commands_work_through_the_front(host: Host, tmp_path: Path) -> None:
    assert succeeds(host.dockerd, "run", "--rm", IMAGE, "echo", "hello") == "hello\n"
    assert "running" in succeeds(host.dockerd, "ps")
    assert "Err" not in succeeds(host.dockerd, "version")
    (tmp_path / "file").write_text("content")
    succeeds(host.dockerd, "cp", str(tmp_path / "file"), "running:/bin/copied")
    succeeds(host.dockerd, "cp", "running:/bin/copied", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content"


def test_the_plugin_still_decides(host: Host) -> None:
    done = host.dockerd.docker("run", "--rm", "--privileged", IMAGE, "true", check=False)
    assert "authorization denied by plugin" in done.stderr
    assert "[privileged.container" in done.stderr


def test_output_that_comes_after_the_end_of_the_input_arrives(host: Host) -> None:
    script = "cat; sleep 1; echo late"
    said = succeeds(host.dockerd, "run", "--rm", "-i", IMAGE, "sh", "-c", script, text="typed\n")
    assert said == "typed\nlate\n"


def test_attach_carries_both_ways(host: Host) -> None:
    script = "read word; echo got $word"
    options = ["--rm", "--detach", "--interactive", "--name=attached"]
    succeeds(host.dockerd, "run", *options, IMAGE, "sh", "-c", script)
    with subprocess.Popen(
        [host.dockerd.engine.docker, "attach", "attached"],
        env=environment(host.dockerd),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got typed\n"


def environment(dockerd: Dockerd) -> dict[str, str]:
    return {**dockerd.engine.environment, "DOCKER_HOST": f"unix://{dockerd.socket}"}


def test_a_terminal_works_in_a_container(host: Host) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [host.dockerd.engine.docker, "exec", "--interactive", "--tty", "running", "sh"],
        env=environment(host.dockerd),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    os.write(ours, b"echo $((6*7)); exit\n")
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:  # the end of a terminal
        pass
    os.close(ours)
    assert process.wait(20) == 0
    assert b"\n42\r" in said


def app(folder: Path) -> Path:
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN touch /built\n")
    return folder


def test_the_legacy_builder_builds(host: Host, tmp_path: Path) -> None:
    succeeds(host.dockerd, "build", "--quiet", "--tag=legacy", str(app(tmp_path)))
    assert succeeds(host.dockerd, "run", "--rm", "legacy", "ls", "/built") == "/built\n"


def buildx(dockerd: Dockerd, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build by BuildKit, over the endpoints of HTTP/1 that are upgraded."""
    unpack("sid", ("docker-buildx",), CACHE / "buildx")
    program = CACHE / "buildx/usr/libexec/docker/cli-plugins/docker-buildx"
    return subprocess.run(
        [program, "build", "--progress=plain", "--tag=kit", str(app(folder))],
        env={
            "PATH": os.environ["PATH"],
            "DOCKER_HOST": f"unix://{dockerd.socket}",
            "DOCKER_CONFIG": str(folder / "client"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_buildkit_builds_over_the_upgraded_endpoints(host: Host, tmp_path: Path) -> None:
    before = host.front.refusals()
    done = buildx(host.dockerd, tmp_path)
    assert done.returncode == 0, done.stderr
    assert succeeds(host.dockerd, "run", "--rm", "kit", "ls", "/built") == "/built\n"
    assert host.front.refusals() == before


def test_a_thousand_idle_connections_are_no_burden(host: Host) -> None:
    with ExitStack() as cleanup:
        idle = [cleanup.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(1000)]
        for number, connection in enumerate(idle):
            connection.connect(str(host.socket))
            if number % 10 == 0:
                connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert call(host.socket, "GET", "/containers/json").status == 200
        for connection in idle:
            connection.settimeout(0)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
        status = Path(f"/proc/{host.front.pid}/status").read_text()
        resident = int(status.partition("VmRSS:")[2].split()[0])
        assert resident < 64 << 10


# What the front refuses.


def test_a_native_call_is_refused_and_recorded(host: Host) -> None:
    assert grpc(unix(host.engine)).status == 200  # it is the front that refuses
    before = len(host.front.refusals())
    assert grpc(unix(host.socket)) == REFUSED
    wait_for(lambda: len(host.front.refusals()) > before, "the record")
    assert "refused reason=http2 frontend=docker " in host.front.refusals()[-1]


def send(path: Path, parts: Sequence[bytes], pause: float = 0.002) -> bytes:
    """Send bytes one part after the other; what comes back until the connection ends."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while part := connection.recv(4096):
                answer += part
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer


def bytewise(content: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in content]


def test_bytes_that_come_one_by_one_are_judged_alike(host: Host) -> None:
    before = len(host.front.refusals())
    assert send(host.socket, bytewise(PREFACE)) == b""
    wait_for(lambda: len(host.front.refusals()) == before + 1, "the record")
    for method in (b"GET", b"POST", b"PUT"):
        head = b" /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
        assert send(host.socket, bytewise(method + head)).startswith(b"HTTP/1.1 ")
    assert len(host.front.refusals()) == before + 1


@pytest.fixture
def hasty(host: Host) -> Iterator[tuple[Front, Path]]:
    """A second front of the same dockerd that waits for one second instead of five minutes."""
    path = host.places.folder / "hasty.sock"
    times = {"inspect-delay 5m": "inspect-delay 1s"}
    folder = host.places.folder / "hasty"
    with (
        listening(path) as listener,
        running_front(folder, host.engine, [listener], "", times) as f,
    ):
        yield f, path
    path.unlink()
    shutil.rmtree(folder)


def test_streams_may_be_idle_for_longer_than_the_front_waits_for_a_request(
    host: Host, hasty: tuple[Front, Path]
) -> None:
    text = (host.front.folder / "cfg/front.cfg").read_text()
    for side in ("client", "server"):  # the longest time that HAProxy knows
        assert f"    timeout {side} 24d\n" in text
    events = connect(hasty[1])
    events.request("GET", "/events")
    answer = events.getresponse()
    time.sleep(2.5)
    host.dockerd.docker("kill", "--signal=CONT", "running")
    assert b'"Action":"kill"' in answer.readline()
    events.close()


@pytest.mark.parametrize("begun", [b"", b"P", b"PR"])
def test_what_is_not_known_in_time_is_not_passed_on(
    host: Host, hasty: tuple[Front, Path], begun: bytes
) -> None:
    opened = time.monotonic()
    assert send(hasty[1], [begun] if begun else []) == b""
    assert time.monotonic() - opened > 0.9
    if begun:
        wait_for(lambda: len(hasty[0].refusals()) == 1, "the record")
    else:
        assert hasty[0].refusals() == []


def test_nothing_unfinished_reaches_dockerd(host: Host) -> None:
    folder = host.places.folder / "counted"
    folder.mkdir()
    engine = folder / "engine.sock"
    with (
        listening(engine) as behind,
        listening(folder / "front.sock") as before,
        running_front(folder, engine, [before], "", {"inspect-delay 5m": "inspect-delay 200ms"}),
    ):
        os.chown(engine, USER, USER)
        behind.settimeout(0.3)
        for parts in ([], [b"P"], [b"PR"], [PREFACE], bytewise(PREFACE)):
            send(folder / "front.sock", parts)
            with pytest.raises(TimeoutError):
                behind.accept()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "front.sock"))
            client.sendall(b"X")
            with behind.accept()[0] as passed_on:
                assert passed_on.recv(10) == b"X"


# Who can get to dockerd.


def reaches(path: Path, user: int, group: int) -> bool:
    """Whether a user of a group can connect."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            with socket.socket(socket.AF_UNIX) as connection:
                status = 0 if connection.connect_ex(str(path)) == 0 else 1
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def test_only_root_and_the_front_reach_dockerd(host: Host) -> None:
    assert reaches(host.engine, USER, USER)
    assert not reaches(host.engine, OTHER, OTHER)
    assert not reaches(host.engine, OTHER, CLIENTS)
    assert reaches(host.socket, OTHER, CLIENTS)
    assert not reaches(host.socket, OTHER, OTHER)


def test_a_reload_keeps_open_connections(host: Host) -> None:
    before = host.socket.stat().st_ino
    with connect_kept(host.socket) as events:
        events.request("GET", "/events")
        answer = events.getresponse()
        host.front.reload()
        assert call(host.socket, "GET", "/_ping").status == 200
        host.dockerd.docker("kill", "--signal=CONT", "running")
        assert b'"Action":"kill"' in answer.readline()
    assert host.socket.stat().st_ino == before


class connect_kept:  # noqa: N801
    """A connection that is closed at the end."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)

    def __enter__(self) -> http.client.HTTPConnection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def test_a_killed_front_closes_the_door_until_it_runs_again(host: Host) -> None:
    host.front.kill()
    try:
        assert not reaches(host.engine, OTHER, CLIENTS)
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(host.socket))  # systemd holds the socket
            waiting.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
            waiting.settimeout(0.5)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
            waiting.settimeout(10)
            host.front.start()
            assert waiting.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        if not host.front.is_running:
            host.front.start()


# What doctor says.


def doctor(dockerd: Dockerd, *options: str) -> list[tuple[str, str, str]]:
    """Id, severity and sentence of what doctor finds about gRPC."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("opa-authz"),
            "doctor",
            f"--host=unix://{dockerd.socket}",
            f"--dockerd-pid={dockerd.pid}",
            "--json",
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)["findings"]
    ids = ("engine.grpc", "engine.raw-socket")
    return [(f["id"], f["severity"], f["what"]) for f in found if f["id"] in ids]


def test_doctor_tries_the_front_and_looks_for_ways_past_it(host: Host) -> None:
    before = len(host.front.refusals())
    tls, own, closed = doctor(host.dockerd)
    assert tls[:2] == ("engine.raw-socket", "warning")  # it has no certificate to try it with
    assert f"tcp://127.0.0.1:{host.tls_engine}" in tls[2]
    assert own[:2] == ("engine.grpc", "ok")
    assert "the connection was closed" in own[2]
    assert closed[:2] == ("engine.raw-socket", "ok")
    assert str(host.engine) in closed[2]
    assert len(host.front.refusals()) == before + 1


@pytest.mark.parametrize("opened", ["folder", "socket"])
def test_doctor_finds_a_way_past_the_front(host: Host, opened: str) -> None:
    host.engine.parent.chmod(0o755)
    host.engine.chmod(0o666)
    if opened == "socket":
        host.engine.parent.chmod(0o750)
    try:
        found = [entry for entry in doctor(host.dockerd) if str(host.engine) in entry[2]]
    finally:
        host.engine.chmod(0o660)
        host.engine.parent.chmod(0o750)
    (entry,) = found
    assert entry[:2] == ("engine.raw-socket", "critical" if opened == "folder" else "ok")


# TLS.


def docker_tls(host: Host, port: int, *arguments: str) -> str:
    done = subprocess.run(
        [host.dockerd.engine.docker, *arguments],
        env={
            **host.dockerd.engine.environment,
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(host.folder / "tls"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_client_with_a_certificate_works_through_the_front(host: Host) -> None:
    before = host.front.refusals()
    assert docker_tls(host, host.tls_port, "run", "--rm", IMAGE, "echo", "hello") == "hello\n"
    assert host.front.refusals() == before


def test_over_tls_a_native_call_is_refused_and_recorded(host: Host) -> None:
    assert grpc(tcp(host.tls_engine, host.tls)).status == 200  # it is the front that refuses
    before = len(host.front.refusals())
    assert grpc(tcp(host.tls_port, host.tls)) == REFUSED
    wait_for(lambda: len(host.front.refusals()) > before, "the record")
    assert "refused reason=alpn frontend=docker-tls client=127.0.0.1:" in host.front.refusals()[-1]


def hello(*protocols: str) -> bytes:
    """A ClientHello of Python's, which offers protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="docker").do_handshake()
    return sent.read()


def in_two_records(message: bytes, first: int) -> bytes:
    parts = (message[5 : 5 + first], message[5 + first :])
    return b"".join(message[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def server_answers(port: int, parts: Sequence[bytes]) -> bool:
    """Whether the server goes on with the handshake."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.001)
            return connection.recv(1) == b"\x16"
        except (BrokenPipeError, ConnectionResetError):
            return False


def test_a_hello_is_judged_by_all_protocols_that_it_offers(host: Host) -> None:
    assert server_answers(host.tls_port, [hello()])
    assert server_answers(host.tls_port, [hello("http/1.1")])
    for protocols in (["h2"], ["h2", "http/1.1"], ["http/1.1", "h2"]):
        assert not server_answers(host.tls_port, [hello(*protocols)])


def test_a_hello_in_pieces_is_read_whole_or_refused(host: Host) -> None:
    for message, passes in ((hello("http/1.1"), True), (hello("h2", "http/1.1"), False)):
        assert server_answers(host.tls_port, bytewise(message)) is passes
        assert server_answers(host.tls_port, [message[:100], message[100:]]) is passes
    harmless = hello("http/1.1")
    assert server_answers(host.tls_engine, [in_two_records(harmless, 50)])
    for first in (1, 50, len(harmless) - 20):
        assert not server_answers(host.tls_port, [in_two_records(harmless, first)])
    assert "reason=split-hello" in host.front.refusals()[-1]


def test_what_is_no_tls_is_refused(host: Host) -> None:
    assert not server_answers(host.tls_port, [b"GET / HTTP/1.1\r\nHost: docker\r\n\r\n"])
    assert not server_answers(host.tls_port, [PREFACE])


# The drop-in.


def test_the_drop_in_closes_native_grpc_and_nothing_else(tmp_path: Path) -> None:
    flags, tls = tls_flags(tmp_path / "tls")
    own, port = activated()
    with (
        own,
        scratch_dockerd(
            prepare(NEWEST), None, *flags, environment=without_http2(), activated=[own]
        ) as dockerd,
    ):
        assert grpc(unix(dockerd.socket)).status == 301
        assert grpc(tcp(port, tls)) == REFUSED
        closed, setting = doctor(dockerd)
        assert closed[:2] == ("engine.grpc", "ok")
        assert "HTTP/1, with status 301" in closed[2]
        assert setting[:2] == ("engine.raw-socket", "ok")
        assert "GODEBUG=http2server=0" in setting[2]
        prepare_content(dockerd)
        assert succeeds(dockerd, "exec", "running", "echo", "hello") == "hello\n"
        done = buildx(dockerd, tmp_path)
        assert done.returncode == 0, done.stderr
