"""The process of gunicorn before it serves: it has no sockets, and a failing start ends it."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from authz_plugin.errors import PolicyError, SetupError
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.listener import open_listener
from authz_plugin.settings import Settings
from authz_plugin.supervisor.engines import SupervisedEngine, start_engine
from authz_plugin.supervisor.gunicorn_process import GunicornProcess, receive_sockets
from tests.conftest import with_policy
from tests.harness.plugin import wait_for


def answer_one(supervisor: socket.socket) -> NoReturn:
    """Answer one connection on the first socket, with the number of sockets."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a process that imports does not listen to it
    sockets = receive_sockets(supervisor)
    supervisor.send(b"1")
    connection, _ = sockets[0].accept()
    connection.sendall(b"%d" % len(sockets))
    os._exit(0)


def import_for_ever(supervisor: socket.socket) -> NoReturn:
    del supervisor
    while True:
        time.sleep(1)


def answer_after_importing(supervisor: socket.socket) -> NoReturn:
    time.sleep(1)
    receive_sockets(supervisor)[0].accept()
    os._exit(0)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with open_listener(tmp_path / "plugin.sock") as opened:
        yield opened


@pytest.mark.parametrize("with_metrics", [False, True])
def test_it_answers_on_the_sockets_that_it_is_given(
    listener: socket.socket, tmp_path: Path, *, with_metrics: bool
) -> None:
    process = GunicornProcess(answer_one)
    with open_listener(tmp_path / "metrics.sock") as metrics:
        process.serve(listener, metrics if with_metrics else None)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.getsockname())
        assert client.recv(1) == (b"2" if with_metrics else b"1")
    process.stop()
    assert is_gone(process)


def test_stopped_before_it_has_sockets_it_ends_at_once() -> None:
    process = GunicornProcess(answer_one)
    begun = time.monotonic()
    process.stop()
    assert time.monotonic() - begun < 5
    assert is_gone(process)


def test_ctrl_c_signals_the_supervisor_alone_while_the_server_imports() -> None:
    process = GunicornProcess(import_for_ever)
    try:
        wait_for(lambda: os.getsid(process._pid) == process._pid, "a session of its own", 5)
    finally:
        process.stop()


def test_a_server_that_was_importing_when_its_supervisor_was_killed_serves_nobody(
    listener: socket.socket,
) -> None:
    read_end, write_end = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        process = GunicornProcess(answer_after_importing)
        os.write(write_end, b"%d" % process._pid)
        process.serve(listener, None)
        os._exit(1)
    server = os.pidfd_open(int(os.read(read_end, 10)))
    time.sleep(0.2)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    is_ended = select.select([server], [], [], 3)[0]
    if not is_ended:
        signal.pidfd_send_signal(server, signal.SIGKILL)
    for descriptor in (server, read_end, write_end):
        os.close(descriptor)
    assert is_ended


def test_a_server_that_ends_before_it_has_sockets_ends_the_start(listener: socket.socket) -> None:
    process = GunicornProcess(lambda _: os._exit(3))
    with pytest.raises(SetupError, match="ended at its start"):
        process.serve(listener, None)


def test_a_server_that_fails_does_not_go_on_as_the_supervisor(listener: socket.socket) -> None:
    def fail(supervisor: socket.socket) -> NoReturn:
        raise ImportError(str(supervisor))

    process = GunicornProcess(fail)
    with pytest.raises(SetupError, match="ended at its start"):
        process.serve(listener, None)


def test_a_refused_policy_ends_the_server_that_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "mine.rego").write_text("package docker.authz.rules.custom_mine\n\ndenials if {\n")
    settings = with_policy(policies=str(tmp_path))
    forked = []

    def fork_server(engine: SupervisedEngine, applied: Settings) -> GunicornProcess:
        del engine
        assert applied is settings
        forked.append(GunicornProcess(answer_one))
        return forked[0]

    with pytest.raises(PolicyError):
        start_engine(settings, SharedStatus(), lambda _: None, fork_server)
    assert is_gone(*forked)


def is_gone(process: GunicornProcess) -> bool:
    try:
        os.waitpid(process._pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False
