"""The process of gunicorn, as a child of the supervisor."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final, NoReturn

from authz_plugin.errors import SetupError
from authz_plugin.processes import begin_child

_STOP_LIMIT: Final = 15.0
_SOCKETS: Final = 2
"""Sockets that the process gets: that for dockerd, and perhaps one for metrics."""


class GunicornProcess:
    """The gunicorn process, a child of the supervisor.

    It is forked before the policy is in force, so that it imports its modules while the policy is
    compiled and checked. It gets its sockets only afterwards: before, it can answer nobody.
    """

    def __init__(self, serve_plugin: Callable[[socket.socket], NoReturn]) -> None:
        """Fork the process and run ``serve_plugin`` in it, which must not return.

        ``serve_plugin`` is called with a connection to the supervisor, from which it receives the
        sockets (``receive_sockets``), and to which it must write a byte as soon as it answers
        requests.
        """
        self._supervisor, server = socket.socketpair()
        gc.freeze()  # the collector writes to the objects that it visits, which copies their pages
        supervisor_pid = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.setsid()  # Ctrl-C must signal only the supervisor, which stops its children
                begin_child()
                self._supervisor.close()
                if os.getppid() == supervisor_pid:  # else it ended before ``begin_child``
                    serve_plugin(server)
            finally:
                os._exit(1)
        server.close()
        self._has_sockets = False
        self._ended = False

    def serve(self, listener: socket.socket, metrics: socket.socket | None) -> None:
        """Have the process answer dockerd on one socket, and metrics and health on the other.

        Returns when it does; raises ``SetupError`` if it ends instead.
        """
        sockets = [listener] if metrics is None else [listener, metrics]
        answered = b""
        with self._supervisor, contextlib.suppress(ConnectionError):
            socket.send_fds(self._supervisor, [b"1"], [one.fileno() for one in sockets])
            self._has_sockets = True
            answered = self._supervisor.recv(1)
        if not answered:
            self._ended = True
            os.waitpid(self._pid, 0)
            raise SetupError("the server ended at its start")

    def check(self) -> None:
        if not self._ended and os.waitpid(self._pid, os.WNOHANG)[0] == self._pid:
            self._ended = True
            raise SetupError("the server ended")

    def stop(self) -> None:
        """End the process, in good order if it has sockets."""
        self._supervisor.close()
        if self._ended:
            return
        os.kill(self._pid, signal.SIGTERM if self._has_sockets else signal.SIGKILL)
        end = time.monotonic() + _STOP_LIMIT
        while os.waitpid(self._pid, os.WNOHANG)[0] != self._pid:
            if time.monotonic() > end:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.02)
        self._ended = True


def receive_sockets(supervisor: socket.socket) -> list[socket.socket]:
    """Wait for the sockets that the supervisor gives to this process: for dockerd, and perhaps for
    metrics. Raises ``EOFError`` if the supervisor ends without giving any."""
    _, descriptors, _, _ = socket.recv_fds(supervisor, 1, _SOCKETS)
    if not descriptors:
        raise EOFError
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]
