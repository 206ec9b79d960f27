"""Whether native gRPC is closed: decided by calls to sockets that answer in different ways."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.doctor.host import DaemonFile, Host, Process
from authz_plugin.tools.doctor.listeners import accounts_that_reach, tcp_listeners, unix_listeners
from authz_plugin.tools.doctor.native_grpc import check_native_grpc
from tests.harness.scripted import answering, bound

SERVER: Final = "Docker/29.9.0 (linux)"
HTTP1: Final = b"HTTP/1.1 301 Moved Permanently\r\nLocation: /%2A\r\n\r\n"
SERVED: Final = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) + bytes([0, 0, 1, 1, 5, 0, 0, 0, 1]) + b"\x88"
"""HTTP/2: settings, and the headers of an answer with status 200 (RFC 9113, RFC 7541)."""
DENIED: Final = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) + bytes([0, 0, 1, 1, 5, 0, 0, 0, 1]) + b"\x8d"


class Sockets:
    """Sockets of this process that give every connection one answer."""

    def __init__(self, cleanup: ExitStack) -> None:
        self._cleanup = cleanup

    def unix(self, path: Path, answer: bytes, mode: int = 0o600) -> Endpoint:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = bound(path)
        path.chmod(mode)
        self._cleanup.enter_context(answering(opened, answer))
        return Endpoint(f"unix://{path}", unix=path)

    def tcp(self, answer: bytes) -> int:
        opened = socket.create_server(("127.0.0.1", 0))
        port = int(opened.getsockname()[1])
        self._cleanup.enter_context(answering(opened, answer))
        return port


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with ExitStack() as cleanup:
        yield Sockets(cleanup)


def host(endpoint: Endpoint, pid: int | None = None, **settings: Any) -> Host:
    """A host whose files are those of this one; ``pid`` is its dockerd's."""
    dockerd = None if pid is None else Process(pid, ("dockerd",), os.geteuid())
    return Host(Path("/"), endpoint, dockerd, DaemonFile(Path("/none"), settings))


def found(host: Host, server: str = SERVER) -> list[tuple[str, str, str]]:
    return [(f.id, f.severity, f.what) for f in check_native_grpc(host, server)]


@pytest.mark.parametrize("server", [SERVER, "Docker/28.5.2 (linux)", ""])
def test_a_call_that_is_served_is_critical_whatever_the_version(
    sockets: Sockets, tmp_path: Path, server: str
) -> None:
    ((id_, severity, _),) = found(host(sockets.unix(tmp_path / "x.sock", SERVED)), server)
    assert (id_, severity) == ("engine.grpc", "critical")


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        (HTTP1, "the answer came in HTTP/1, with status 301"),
        (DENIED, "the answer had status 404"),
        (b"", "the connection was closed"),
    ],
)
def test_a_call_that_is_refused_is_in_order_and_says_how(
    sockets: Sockets, tmp_path: Path, answer: bytes, how: str
) -> None:
    (id_, severity, what), *_ = found(host(sockets.unix(tmp_path / "x.sock", answer)))
    assert (id_, severity) == ("engine.grpc", "ok")
    assert what == f"a native gRPC call was refused: {how}"


@pytest.mark.parametrize("server", [SERVER, ""])
@pytest.mark.parametrize("pid", [None, 1 << 22])
def test_sockets_that_cannot_be_listed_are_not_taken_for_closed(
    sockets: Sockets, tmp_path: Path, server: str, pid: int | None
) -> None:
    _, (id_, severity, _) = found(host(sockets.unix(tmp_path / "x.sock", b""), pid), server)
    assert (id_, severity) == ("engine.raw-socket", "warning")


def test_a_call_that_cannot_be_made_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    ((id_, severity, _),) = found(host(Endpoint(f"unix://{path}", unix=path)))
    assert (id_, severity) == ("engine.grpc", "warning")


def test_dockerds_own_sockets_are_looked_for_behind_what_refuses(
    sockets: Sockets, tmp_path: Path
) -> None:
    front = sockets.unix(tmp_path / "front.sock", b"")
    tmp_path.chmod(0o755)
    engine = sockets.unix(tmp_path / "engine/docker.sock", SERVED, 0o666)
    open_port = sockets.tcp(SERVED)
    this = host(front, os.getpid())
    assert unix_listeners(this) == [engine.unix]
    assert ("127.0.0.1", open_port) in tcp_listeners(this)
    assert engine.unix is not None
    engine.unix.parent.chmod(0o700)
    texts = {what: severity for id_, severity, what in found(this) if id_ == "engine.raw-socket"}
    (tcp,) = (what for what in texts if f"tcp://127.0.0.1:{open_port}" in what)
    assert texts[tcp] == "critical"
    (closed,) = (what for what in texts if str(engine.unix) in what)
    assert texts[closed] == "ok"
    assert "only root and the front can connect" in closed


def test_a_socket_that_refuses_may_be_reached(sockets: Sockets, tmp_path: Path) -> None:
    front = sockets.unix(tmp_path / "front.sock", b"")
    port = sockets.tcp(HTTP1)
    this = host(front, os.getpid())
    texts = {what: severity for id_, severity, what in found(this) if id_ == "engine.raw-socket"}
    (what,) = texts
    assert texts[what] == "ok"
    assert f"a native gRPC call was refused by tcp://127.0.0.1:{port}" in what


def test_without_a_certificate_a_tls_listener_is_not_called_closed(
    sockets: Sockets, tmp_path: Path
) -> None:
    front = sockets.unix(tmp_path / "front.sock", b"")
    port = sockets.tcp(b"")
    this = host(front, os.getpid(), tlsverify=True)
    (warned,) = (entry for entry in found(this) if entry[1] != "ok")
    assert warned[:2] == ("engine.raw-socket", "warning")
    assert f"tcp://127.0.0.1:{port}" in warned[2]


def test_engines_without_native_grpc_need_no_closed_socket(
    sockets: Sockets, tmp_path: Path
) -> None:
    sockets.tcp(SERVED)
    this = host(sockets.unix(tmp_path / "front.sock", HTTP1), os.getpid())
    assert {id_ for id_, _, _ in found(this, "Docker/29.1.5 (linux)")} == {"engine.grpc"}


FRONT: Final = 998


@pytest.mark.parametrize(
    ("folder", "path_mode", "group", "reached"),
    [
        (0o755, 0o666, FRONT, ["every account"]),
        (0o751, 0o662, FRONT, ["every account"]),
        (0o750, 0o666, FRONT, ["alice"]),
        (0o750, 0o660, FRONT, ["alice"]),
        (0o710, 0o660, FRONT, ["alice"]),
        (0o740, 0o660, FRONT, []),
        (0o750, 0o640, FRONT, []),
        (0o755, 0o660, 0, []),
        (0o700, 0o666, FRONT, []),
    ],
)
def test_modes_say_who_reaches_a_socket(
    tmp_path: Path, folder: int, path_mode: int, group: int, reached: list[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text(
        f"root:x:0:0::/root:/bin/sh\nfront:x:{FRONT}:{FRONT}::/:/bin/false\n"
        "alice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n"
    )
    (root / "etc/group").write_text(f"front:x:{FRONT}:alice\n")
    file = root / "run/engine/docker.sock"
    file.parent.mkdir(parents=True)
    (root / "run").chmod(0o755)
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(file))
    os.chown(file, 0, group)
    file.chmod(path_mode)
    os.chown(file.parent, 0, group)
    file.parent.chmod(folder)
    this = Host(root, Endpoint("unix:///x", unix=Path("/x")), None, DaemonFile(Path("/none")))
    path = Path("/run/engine/docker.sock")
    assert accounts_that_reach(this, path, frozenset({0, FRONT})) == reached
