"""Answers messages on many connections, with as few changes of thread as there can be.

One thread at a time leads: it waits for all connections, receives what has arrived, and answers a
message as soon as it is complete. Before an answer has to wait for something else (an engine, a
disk), ``step_aside`` lets another thread lead. So a message that is answered from memory costs no
change of thread, and a slow client, engine or disk delays no other connection.

As many threads that have stepped aside work at the same time as there are processors, because more
would only take Python's global lock from each other. A thread waits ``_LONGEST_WAIT`` for its turn
and then goes on without one, so that those that wait for an engine or a disk stop nobody.

A request that does not have dockerd's form (``wire``) is passed on with the bytes received.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

from authz_plugin import wire
from authz_plugin.errors import defect

Answers = Mapping[str, Callable[[bytes], bytes]]
"""For each path, a function from a message to the body of its answer. It must not raise."""

_LARGE: Final = 1 << 18
"""The length of a message, in bytes, from which its answer is not worth a wait of the others."""

_LONGEST_WAIT: Final = 0.02
"""Seconds after which a thread that has stepped aside does not wait for a turn any longer."""

_PIECE: Final = 1 << 16
_LARGEST_PIECE: Final = 1 << 20

H = TypeVar("H")

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Connection(Generic[H]):
    """A connection. ``received`` are the bytes of a request that is not complete, ``needed`` its
    length if that is known; ``begun`` is the ``time.monotonic()`` at which it began, or None if
    no request is under way. ``is_aside`` is true while a thread that has stepped aside answers."""

    handle: H
    socket: socket.socket
    number: int
    received: bytearray = field(default_factory=bytearray)
    needed: int = 0
    begun: float | None = None
    is_aside: bool = False


class Exchange(Generic[H]):
    """Answers the messages of connections; each is identified by a ``handle`` of the caller.

    ``threads`` is the maximum number of messages that are answered at the same time, ``limit`` the
    maximum length of a message. ``pass_on`` is called with a connection whose request has another
    form, and what was received of it; ``closed`` with a connection that ended. Both are called in
    any thread, and the exchange does not use the connection afterwards.
    """

    def __init__(
        self,
        answers: Answers,
        threads: int,
        limit: int,
        content_type: str,
        *,
        pass_on: Callable[[H, bytes], None],
        closed: Callable[[H], None],
    ) -> None:
        self._answers = answers
        self._threads = threads
        self._limit = limit
        self._content_type = content_type
        self._pass_on = pass_on
        self._closed = closed
        self._poll = select.epoll()
        self._readable: deque[int] = deque()
        self._connections: dict[int, _Connection[H]] = {}
        self._lead = threading.Lock()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._turns: SimpleQueue[None] = SimpleQueue()  # quicker than a semaphore
        for _ in range(os.cpu_count() or 1):
            self._turns.put(None)
        self._started = 0
        self._waiting = 0
        self._stopping = False
        self._wake = os.eventfd(0)
        self._poll.register(self._wake, select.EPOLLIN)
        self._start_thread()

    def add(self, handle: H, connection: socket.socket) -> None:
        """Answer the messages of a connection from now on."""
        connection.settimeout(0)
        added = _Connection(handle, connection, connection.fileno())
        self._connections[added.number] = added
        self._poll.register(added.number, select.EPOLLIN)

    def step_aside(self) -> None:
        """Let another thread lead, if this one does; to be called before anything that waits."""
        connection: _Connection[H] | None = getattr(self._local, "answering", None)
        if connection is None:
            return
        with self._lock:
            is_missing = self._waiting == 0 and self._started < self._threads
        if is_missing:
            try:
                self._start_thread()
            except RuntimeError as error:  # the system gives no thread: this one goes on leading
                _log.warning("%s", error)
                return
        self._local.answering = None
        connection.begun = time.monotonic()
        connection.is_aside = True
        self._poll.unregister(connection.number)
        self._lead.release()
        try:
            self._turns.get(timeout=_LONGEST_WAIT)
            self._local.has_turn = True
        except Empty:
            self._local.has_turn = False

    def end_before(self, latest: float) -> None:
        """Shut down each connection whose request began before ``latest``."""
        for connection in list(self._connections.values()):
            if connection.begun is not None and connection.begun < latest:
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Pass on all connections, those whose message is being answered after the answer."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def _start_thread(self) -> None:
        threading.Thread(target=self._run, name="exchange", daemon=True).start()
        with self._lock:
            self._started += 1

    def _run(self) -> None:
        while True:
            with self._lock:
                self._waiting += 1
            self._lead.acquire()
            with self._lock:
                self._waiting -= 1
            leads = True
            while leads and not self._stopping:
                leads = self._serve_next()
            if leads:
                self._pass_on_all()
                self._lead.release()
                return

    def _serve_next(self) -> bool:
        """Serve a connection; return whether this thread still leads."""
        if not self._readable:
            self._readable.extend(number for number, _ in self._poll.poll())
        connection = self._connections.get(self._readable.popleft())
        if connection is None:  # it is gone, or ``stop`` was called
            return True
        self._local.answering = connection
        try:
            self._receive(connection)
        except Exception as error:  # noqa: BLE001 - the thread has other connections to serve
            _log.error("%s", defect(error))
            self._close(connection)
        leads = self._local.answering is not None
        self._local.answering = None
        if not leads and self._local.has_turn:
            self._turns.put(None)
        return leads

    def _receive(self, connection: _Connection[H]) -> None:
        missing = connection.needed - len(connection.received)
        try:
            piece = connection.socket.recv(min(max(missing, _PIECE), _LARGEST_PIECE))
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._close(connection)
            return
        connection.received += piece
        if len(connection.received) < connection.needed:
            return
        head = wire.read_head(connection.received, self._limit)
        if head == wire.OTHER or (
            isinstance(head, wire.Head) and head.end < len(connection.received)
        ):
            self._pass(connection)
        elif isinstance(head, wire.Head) and head.end == len(connection.received):
            self._answer(connection, head)
        else:
            connection.needed = head.end if isinstance(head, wire.Head) else 0
            connection.begun = connection.begun or time.monotonic()

    def _answer(self, connection: _Connection[H], head: wire.Head) -> None:
        message = bytes(memoryview(connection.received)[head.start :])
        connection.received.clear()
        if len(message) >= _LARGE:
            self.step_aside()
        response = wire.response(self._answers[head.path](message), self._content_type)
        try:
            sent = connection.socket.send(response)
        except OSError:
            sent = 0
        if sent < len(response):  # the client does not read its answers
            self._close(connection)
            return
        connection.needed, connection.begun = 0, None
        if self._local.answering is None:
            self._resume(connection)

    def _resume(self, connection: _Connection[H]) -> None:
        """Wait for a connection again whose message was answered by a thread that stepped aside."""
        with self._lock:
            if not self._stopping:
                self._poll.register(connection.number, select.EPOLLIN)
                connection.is_aside = False
                return
        self._pass(connection)

    def _close(self, connection: _Connection[H]) -> None:
        if self._connections.get(connection.number) is not connection:
            return  # it was passed on, or its number is another's
        del self._connections[connection.number]
        connection.socket.close()
        self._closed(connection.handle)

    def _pass(self, connection: _Connection[H]) -> None:
        del self._connections[connection.number]
        if not connection.is_aside:
            self._poll.unregister(connection.number)
        self._pass_on(connection.handle, bytes(connection.received))

    def _pass_on_all(self) -> None:
        with self._lock:
            idle = [one for one in self._connections.values() if not one.is_aside]
        for connection in idle:
            self._pass(connection)
