"""What breaks around a running plugin, and what becomes of requests meanwhile.

``docs/explanation/reliability.md`` has the results; ``tests/real/test_faults.py`` has the tests
with a real dockerd.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from authz_plugin import authorizer as authorizing
from authz_plugin.authorizer import Authorizer
from authz_plugin.engine.cache import CachingEngine, policy_behind
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.policy import shipped_rules
from tests.conftest import MakeOpa
from tests.faults.messages import LIST, REQUEST, VOLUMES, create, numbered
from tests.harness.plugin import Connection, Plugin, children, freeze, running_plugin, wait_for

DEADLINE: Final = 2.0
NOBODY: Final = 65534
PRODUCTION: Final = "profile: production\nengine: opa\nlog: {level: debug}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(PRODUCTION)
    return file


@pytest.fixture
def plugin(tmp_path: Path, config: Path) -> Iterator[Plugin]:
    with running_plugin(tmp_path, f"--config={config}") as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def shared_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """A plugin for the tests that only connect to it."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "config.yaml").write_text(PRODUCTION)
    with running_plugin(folder, f"--config={folder / 'config.yaml'}") as running:
        yield running
        assert "Traceback" not in running.log


def opa_of(plugin: Plugin) -> int:
    wait_for(lambda: children(plugin.process.pid, "opa"), "OPA to be there")
    return children(plugin.process.pid, "opa")[0]


def worker_of(plugin: Plugin) -> int:
    (pid,) = children(children(plugin.process.pid, "opa-authz")[0], "opa-authz")
    return pid


def runtime_folder(plugin: Plugin) -> Path:
    """Where the plugin's link to OPA's socket lies."""
    return Path(f"/proc/{opa_of(plugin)}/cwd").readlink().parent


def kilobytes(pid: int, name: str) -> int:
    """A figure of a process's memory, as ``/proc`` has it."""
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1))


def ask(plugin: Plugin, number: int = 0) -> tuple[bool, bool]:
    """Whether a request that may pass does, and one that must not; each within the deadline.

    The number makes them others than any before, so that OPA is asked.
    """
    answers = []
    for message in (LIST, VOLUMES):
        started = time.monotonic()
        answers.append(plugin.post(REQUEST, numbered(message, number))["Allow"])
        assert time.monotonic() - started < DEADLINE + 1
    return answers[0], answers[1]


def recovers(plugin: Plugin, seconds: float) -> None:
    """Ask until what may pass passes again; what must not never does."""
    end, number = time.monotonic() + seconds, 1_000_000
    while time.monotonic() < end:
        number += 1
        may, must_not = ask(plugin, number)
        assert not must_not
        if may:
            return
        time.sleep(0.05)
    pytest.fail(f"no recovery within {seconds} s")


def answers(plugin: Plugin) -> bool:
    with suppress(OSError, AssertionError, ValueError):
        plugin.post(REQUEST, LIST)
        return True
    return False


def test_an_opa_out_of_memory_is_replaced_and_nothing_slips_through(plugin: Plugin) -> None:
    ask(plugin)
    first = opa_of(plugin)
    bound_memory(first, (kilobytes(first, "VmSize") + 4096) << 10)
    big = create(Env=["A=" + "x" * 1000] * 2000, HostConfig={"Privileged": True})
    for number in range(200):
        if opa_of(plugin) != first:
            break
        assert not plugin.post(REQUEST, numbered(big, number))["Allow"]
    assert opa_of(plugin) != first
    recovers(plugin, 15)


def bound_memory(pid: int, most: int) -> None:
    """Have a process get no more than so many bytes; only its own user may do that to it."""
    child = os.fork()
    if child == 0:
        owner = Path(f"/proc/{pid}").stat()
        if os.geteuid() == 0:
            os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
            os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("which", ["OPA's own", "the link to it"])
def test_a_socket_that_is_removed_is_noticed_and_mended(plugin: Plugin, which: str) -> None:
    first = opa_of(plugin)
    folder = runtime_folder(plugin)
    own = Path(f"/proc/{first}/cwd/opa.sock")
    gone = own if which == "OPA's own" else folder / "opa.sock"
    assert gone.is_socket()
    gone.unlink()
    os.kill(worker_of(plugin), signal.SIGKILL)  # a new worker has no connection to OPA yet
    wait_for(lambda: answers(plugin), "a new worker", 15)
    recovers(plugin, 20)
    assert (opa_of(plugin) == first) == (which == "the link to it")


def test_a_plugin_whose_runtime_folder_is_removed_ends_with_a_reason(plugin: Plugin) -> None:
    folder = runtime_folder(plugin)
    aside = folder.rename(folder.with_name("opa-authz-removed-by-a-test"))
    try:
        assert plugin.process.wait(15) == 1
    finally:
        shutil.rmtree(aside)
    assert f"{folder}/opa.sock cannot be made" in plugin.log


def test_a_worker_that_dies_with_a_request_in_hand_allows_nothing(plugin: Plugin) -> None:
    freeze(opa_of(plugin))
    given: list[Any] = []

    def asking() -> None:
        with suppress(OSError, ConnectionError, ValueError, AssertionError):
            given.append(plugin.post(REQUEST, LIST)["Allow"])

    thread = threading.Thread(target=asking)
    thread.start()
    time.sleep(0.3)
    os.kill(worker_of(plugin), signal.SIGKILL)
    thread.join(10)
    assert True not in given
    wait_for(lambda: answers(plugin), "a new worker", 15)
    recovers(plugin, 15)


def test_five_hundred_connections_are_served(shared_plugin: Plugin) -> None:
    with ExitStack() as open_:
        connections = [
            open_.enter_context(Connection(shared_plugin.socket, timeout=20)) for _ in range(500)
        ]
        started = time.monotonic()
        for connection in connections:
            assert connection.post(REQUEST, LIST)["Allow"]
        assert time.monotonic() - started < 10
        for connection in reversed(connections):
            assert not connection.post(REQUEST, VOLUMES)["Allow"]


BEGINNINGS: Final = (
    b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: x\r\nContent-Le",
    b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{",
    b"",
)


def test_messages_that_never_end_hold_nobody_up_and_are_cut_off(shared_plugin: Plugin) -> None:
    """Each sends a byte now and then, so that no pause gives it away."""
    with ExitStack() as open_:
        slow = [open_.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(100)]
        for number, connection in enumerate(slow):
            connection.connect(str(shared_plugin.socket))
            connection.sendall(BEGINNINGS[number % 3])
        begun = time.monotonic()
        times = []
        while time.monotonic() - begun < DEADLINE + 4:
            started = time.monotonic()
            assert ask(shared_plugin) == (True, False)
            times.append(time.monotonic() - started)
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(b" ")
            time.sleep(0.2)
        assert sorted(times)[-3] < 1, "a busy machine may hold a few up"
        for number, connection in enumerate(slow):
            connection.settimeout(5)
            if BEGINNINGS[number % 3]:
                assert b'"Allow":true' not in ending(connection)


def ending(connection: socket.socket) -> bytes:
    """What is still to be read from a connection that the other side has ended."""
    received = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.parametrize("claimed", [True, False], ids=["with its length", "in chunks"])
def test_a_message_of_100_mib_costs_no_memory(plugin: Plugin, claimed: bool) -> None:
    ask(plugin)
    worker = worker_of(plugin)
    before = kilobytes(worker, "VmHWM")
    size = 100 << 20
    length = b"Content-Length: %d" % size if claimed else b"Transfer-Encoding: chunked"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(plugin.socket))
        client.settimeout(20)
        client.sendall(
            b"POST " + REQUEST.encode() + b" HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n"
        )
        chunk = b"x" * (1 << 20)
        with suppress(OSError):
            for _ in range(100):
                client.sendall(chunk if claimed else b"%x\r\n%s\r\n" % (len(chunk), chunk))
            client.sendall(b"0\r\n\r\n")
        assert b'"Allow":true' not in ending(client)
    assert kilobytes(worker, "VmHWM") - before < 80_000
    assert ask(plugin) == (True, False)


def test_without_file_descriptors_nothing_is_allowed_and_it_goes_on_when_there_are_some(
    plugin: Plugin,
) -> None:
    worker = worker_of(plugin)
    used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 4, hard))
    with ExitStack() as open_:
        for _ in range(40):
            client = open_.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(plugin.socket))
        time.sleep(0.5)
    with suppress(ProcessLookupError):
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: answers(plugin), "it to answer again", 15)
    recovers(plugin, 15)


OPPOSITE: Final = "operations: {volume.list: allow, container.list: deny}\n"
BROKEN: Final = "operations: {volume.list: allow, container.list: allow}\nsections: {volumes: x}\n"


def test_each_decision_is_wholly_one_policys_while_policies_change(
    plugin: Plugin, config: Path
) -> None:
    stop = threading.Event()

    def asking(first: int) -> None:
        number = first
        with Connection(plugin.socket) as connection:
            while not stop.is_set():
                number += 1
                connection.post(REQUEST, numbered(LIST, number))
                connection.post(REQUEST, numbered(VOLUMES, number))

    threads = [threading.Thread(target=asking, args=(n * 1_000_000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for policy in (OPPOSITE, BROKEN, "", BROKEN, OPPOSITE, ""):
        config.write_text(PRODUCTION + policy)
        plugin.reload()
    stop.set()
    for thread in threads:
        thread.join()
    decided: dict[str, set[tuple[str, str]]] = {}
    decisions = [line for line in plugin.records() if "verdict" in line]
    for decision in decisions:
        pair = decision["operation"], decision["verdict"]
        decided.setdefault(decision["policy_revision"], set()).add(pair)
    assert len(decisions) > 200
    assert sorted(map(sorted, decided.values())) == [
        [("container.list", "allow"), ("volume.list", "deny")],
        [("container.list", "deny"), ("volume.list", "allow")],
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_reaches_no_socket(plugin: Plugin, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest" in folder.as_posix():
            folder.chmod(0o755)
    opa = Path(f"/proc/{opa_of(plugin)}/cwd").readlink() / "opa.sock"
    for path in (plugin.socket, opa):
        assert connect_as(os.geteuid(), path) == 0
        assert connect_as(NOBODY, path) == errno.EACCES


def connect_as(user: int, path: Path) -> int:
    """Connect to a socket as a user; the error's number, or 0."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        os._exit(socket.socket(socket.AF_UNIX).connect_ex(str(path)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_an_exception_lives_and_dies_by_the_clock_whichever_way_it_is_set(
    tmp_path: Path, make_opa: MakeOpa, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "opa.sock"
    exception = {
        "rule": "capabilities.add",
        "value": "SYS_PTRACE",
        "when": {"image": "x:1"},
        "expires": "2026-06-30",
        "reason": "until then",
    }
    link.symlink_to(make_opa(profile="production", exceptions=[exception]))
    engine = OpaEngine(OpaAddress(url=f"unix:{link}"), shipped_rules(), DEADLINE)
    authorizer = Authorizer(
        CachingEngine(engine, policy_behind(link)),
        LocalHostPaths(),
        UnseenEngineState(),
        lambda *_: None,
    )
    excepted = orjson.dumps(create(HostConfig={"CapAdd": ["SYS_PTRACE"]}))
    for moment, allowed in (
        ("2026-06-01T12:00:00", True),
        ("2026-06-30T23:59:59", True),
        ("2026-07-01T00:00:00", False),
        ("2027-01-01T00:00:00", False),
        ("2026-06-01T00:00:00", True),
    ):
        clock = type("Clock", (datetime,), {"now": lambda zone, m=moment: at(m, zone)})
        monkeypatch.setattr(authorizing, "datetime", clock)
        assert authorizer.authorize(excepted).allow is allowed, moment
        assert authorizer.authorize(orjson.dumps(LIST)).allow
        assert not authorizer.authorize(orjson.dumps(VOLUMES)).allow
    engine.close()


def at(moment: str, zone: tzinfo) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=zone)
