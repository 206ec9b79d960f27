"""Messages are answered by one leading thread, and none waits for a slow client or engine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from authz_plugin import exchange
from authz_plugin.exchange import Exchange
from tests.harness.plugin import wait_for

LIMIT: Final = 1 << 21
THREADS: Final = 3


class Server:
    """An exchange whose messages tell what their answers do."""

    def __init__(self, cleanup: ExitStack) -> None:
        self.passed: list[tuple[str, bytes]] = []
        self.closed: list[str] = []
        self.held = threading.Event()
        self.names: list[str] = []
        self.begun: list[bytes] = []
        self.ends: dict[str, socket.socket] = {}
        self._cleanup = cleanup
        self.exchange: Exchange[str] = Exchange(
            {"/AuthZPlugin.AuthZReq": self._answer},
            THREADS,
            LIMIT,
            "text/plain",
            pass_on=lambda name, received: self.passed.append((name, received)),
            closed=self.closed.append,
        )

    def connect(self, name: str) -> socket.socket:
        client, server = socket.socketpair()
        self._cleanup.callback(client.close)
        client.settimeout(5)
        self.ends[name] = server
        self._cleanup.callback(server.close)
        self.exchange.add(name, server)
        return client

    def _answer(self, message: bytes) -> bytes:
        self.names.append(str(threading.get_ident()))
        if message == b"wait":
            self.exchange.step_aside()
            self.begun.append(message)
            self.held.wait(5)
        if message == b"long":
            return b"x" * (1 << 23)  # more than the buffers of a socket hold
        if message == b"defect":
            raise KeyError(message)
        return message.upper() if len(message) < 100 else str(len(message)).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with ExitStack() as cleanup:
        made = Server(cleanup)
        yield made
        made.held.set()
        made.exchange.stop()
        wait_for(lambda: not made.exchange._connections, "the connections to be passed on")


def request(message: bytes) -> bytes:
    return b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
        len(message),
        message,
    )


def ask(client: socket.socket, message: bytes) -> bytes:
    client.sendall(request(message))
    return client.recv(1000).partition(b"\r\n\r\n")[2]


def test_messages_of_many_connections_are_answered_by_one_thread(server: Server) -> None:
    clients = [server.connect(str(number)) for number in range(20)]
    for number in range(60):
        assert ask(clients[number % 20], b"a%d" % number) == b"A%d" % number
    assert len(set(server.names)) == 1


def test_a_message_that_comes_in_pieces_is_answered_when_it_is_complete(server: Server) -> None:
    client, other = server.connect("slow"), server.connect("other")
    whole = request(b"abc")
    for at in range(len(whole)):
        client.sendall(whole[at : at + 1])
        assert ask(other, b"x") == b"X"
    assert client.recv(1000).endswith(b"ABC")


def test_a_large_message_is_answered(server: Server) -> None:
    client = server.connect("large")
    assert ask(client, b"x" * (LIMIT - 1)) == str(LIMIT - 1).encode()
    assert ask(client, b"a") == b"A"


def test_a_message_that_waits_keeps_no_other_waiting(server: Server) -> None:
    waiting, other = server.connect("waiting"), server.connect("other")
    waiting.sendall(request(b"wait"))
    wait_for(lambda: server.names, "the first message")
    assert ask(other, b"a") == b"A"
    server.held.set()
    assert waiting.recv(1000).endswith(b"WAIT")
    assert ask(waiting, b"b") == b"B"


def test_a_message_is_answered_if_the_system_gives_no_thread(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = server.connect("waiting"), server.connect("other")

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(server.exchange, "_start_thread", fail)
    client.sendall(request(b"wait"))
    wait_for(lambda: server.begun, "the message to begin")
    server.held.set()
    assert client.recv(1000).endswith(b"WAIT")
    assert ask(other, b"a") == b"A"


def test_a_failure_to_pass_a_connection_on_ends_no_thread(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(server.exchange, "_pass_on", fail)
    server.connect("other").sendall(b"GET / HTTP/1.1\r\n\r\n")
    wait_for(lambda: len(server.exchange._connections) == 0, "it to be passed on")
    assert ask(server.connect("next"), b"a") == b"A"


def test_those_that_step_aside_take_turns_and_wait_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    for longest, at_once in ((10.0, 1), (0.01, 2)):
        monkeypatch.setattr(exchange, "_LONGEST_WAIT", longest)
        with ExitStack() as cleanup:
            server = Server(cleanup)
            clients = [server.connect("one"), server.connect("other")]
            for client in clients:
                client.sendall(request(b"wait"))
            wait_for(lambda s=server, n=at_once: len(s.begun) == n, "the messages to begin")
            time.sleep(0.1)
            assert len(server.begun) == at_once
            server.held.set()
            assert all(client.recv(1000).endswith(b"WAIT") for client in clients)
            server.exchange.stop()
            wait_for(
                lambda s=server: not s.exchange._connections, "the connections to be passed on"
            )


def test_no_more_messages_are_answered_at_once_than_there_are_threads(server: Server) -> None:
    clients = [server.connect(str(number)) for number in range(THREADS + 2)]
    for client in clients:
        client.sendall(request(b"wait"))
    wait_for(lambda: len(server.names) == THREADS, "the threads to be busy")
    time.sleep(0.1)
    assert len(server.names) == THREADS
    server.held.set()
    assert all(client.recv(1000).endswith(b"WAIT") for client in clients)


def test_a_defect_closes_its_connection_and_no_other(server: Server) -> None:
    client, other = server.connect("defect"), server.connect("other")
    client.sendall(request(b"defect"))
    assert client.recv(1000) == b""
    wait_for(lambda: server.closed == ["defect"], "the end of the connection")
    assert ask(other, b"a") == b"A"


def test_a_connection_that_its_client_closes_is_closed(server: Server) -> None:
    server.connect("gone").close()
    wait_for(lambda: server.closed == ["gone"], "the end of the connection")


@pytest.mark.parametrize(
    "received",
    [b"POST /Plugin.Activate HTTP/1.1\r\n\r\n", request(b"one") + request(b"two"), b"\x16\x03"],
    ids=["another path", "two requests at once", "no HTTP"],
)
def test_what_is_not_dockerds_message_is_passed_on_unanswered(
    server: Server, received: bytes
) -> None:
    server.connect("other").sendall(received)
    wait_for(lambda: server.passed, "it to be passed on")
    assert server.passed == [("other", received)]
    assert not server.names


def test_a_connection_that_was_passed_on_can_come_back(server: Server) -> None:
    client = server.connect("back")
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    wait_for(lambda: server.passed, "it to be passed on")
    server.exchange.add("back", server.ends["back"])
    assert ask(client, b"a") == b"A"


def test_a_message_that_takes_too_long_is_cut_off_and_an_idle_connection_is_not(
    server: Server,
) -> None:
    idle, begun = server.connect("idle"), server.connect("begun")
    waiting = server.connect("waiting")
    begun.sendall(b"POST /Auth")
    waiting.sendall(request(b"wait"))
    wait_for(lambda: server.names, "the message")
    assert ask(idle, b"a") == b"A"
    server.exchange.end_before(time.monotonic() + 1)
    assert begun.recv(1000) == b""
    server.held.set()
    assert waiting.recv(1000) == b""
    assert ask(idle, b"a") == b"A"
    wait_for(lambda: sorted(server.closed) == ["begun", "waiting"], "the ends")


def test_a_client_that_reads_no_answers_is_cut_off(server: Server) -> None:
    client, other = server.connect("deaf"), server.connect("other")
    client.sendall(request(b"long"))
    wait_for(lambda: server.closed == ["deaf"], "the end of the connection")
    assert ask(other, b"a") == b"A"


def test_at_the_end_all_connections_are_passed_on_after_their_answers(server: Server) -> None:
    server.connect("idle")
    begun, waiting = server.connect("begun"), server.connect("waiting")
    begun.sendall(b"POST /Auth")
    waiting.sendall(request(b"wait"))
    wait_for(lambda: server.names, "the message")
    time.sleep(0.1)
    server.exchange.stop()
    wait_for(lambda: len(server.passed) == 2, "those that have no message")
    assert sorted(server.passed) == [("begun", b"POST /Auth"), ("idle", b"")]
    server.held.set()
    assert waiting.recv(1000).endswith(b"WAIT")
    wait_for(lambda: server.passed[2:] == [("waiting", b"")], "the last")
