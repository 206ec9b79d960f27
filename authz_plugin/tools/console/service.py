"""Serves the console with gunicorn, in one worker with threads, until a signal ends it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import gunicorn.glogging
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import TConn, ThreadWorker

from authz_plugin.errors import defect
from authz_plugin.processes import die_with_parent
from authz_plugin.tools.console.access import Access
from authz_plugin.tools.console.address import Address
from authz_plugin.tools.console.app import create_app
from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.feed import MOST_CLIENTS

_THREADS: Final = MOST_CLIENTS + 8
"""Each open page holds one thread."""

_STOP_LIMIT: Final = 5
"""Seconds."""

_PATIENCE: Final = 10
"""Seconds that a browser may take to send the rest of a request, or to receive what is sent to it.
"""


class _Application(BaseApplication):
    """The gunicorn application."""

    def __init__(self, listener: int, console: Console, address: Address, tell: _Tell) -> None:
        self._listener = listener
        self._address = address
        self._tell = tell
        self.console = console
        self.access = Access()
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"fd://{self._listener}",
            "worker_class": _Worker,
            "workers": 1,
            "threads": _THREADS,
            "worker_connections": 256,
            "keepalive": 30,
            "timeout": 60,
            "graceful_timeout": _STOP_LIMIT,
            "control_socket_disable": True,
            "loglevel": "warning",
            "logger_class": _Logger,
            "proc_name": "opa-authz-console",
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108, PTH112
            "post_fork": lambda _arbiter, _worker: die_with_parent(),
            "when_ready": lambda _: _stay_one(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return create_app(self.console, self.access, self._address)

    def tell_link(self) -> None:
        """Tell a new link; a former one that was not opened is good no more."""
        self._tell(f"{self._address.origin}/enter?token={self.access.new_token()}")


def serve(listener: int, console: Console, address: Address, tell: Callable[[str], None]) -> None:
    """Serve on the open socket ``listener`` (a file descriptor) until SIGTERM or SIGINT; raises
    ``SystemExit``. The socket is closed then, and the file of a unix socket removed.

    ``tell`` is called with the link: before systemd is told that the console is ready, and, in the
    worker's process, after each SIGUSR1.
    """
    application = _Application(listener, console, address, tell)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until gunicorn handles it
    application.tell_link()
    application.run()


_Tell = Callable[[str], None]


class _Worker(ThreadWorker):
    """Runs the feed, and ends its connections when it stops, as they would never end else."""

    app: _Application

    def run(self) -> None:
        self.app.console.feed.start()
        if self.age > 1:  # a worker before it has ended, and its sessions with it
            self.app.tell_link()
        super().run()

    def handle(self, conn: TConn) -> Any:
        # A browser that neither sends nor receives must not hold its thread for ever.
        limit = struct.pack("ll", _PATIENCE, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return super().handle(conn)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # In a thread: the handler interrupts the main one, which may hold a lock of the feed's.
        threading.Thread(target=self.app.console.feed.stop, name="stop").start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self.handle_exit(sig, frame)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        del sig, frame
        threading.Thread(target=self.app.tell_link, name="link").start()


class _Logger(gunicorn.glogging.Logger):
    """Sends gunicorn's messages to standard error, without access lines: these would hold the
    link's token."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.setLevel(logging.WARNING)
        self.error_log.propagate = False
        handler = logging.StreamHandler()
        handler.setFormatter(_Format())
        self.error_log.handlers = [handler]


class _Format(logging.Formatter):
    """A line; of an exception, only its place is told, because its message may quote a request."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        text = defect(error) if isinstance(error, Exception) else record.getMessage()
        if isinstance(error, BlockingIOError):
            text = "a browser sent or received nothing for a while: its connection was closed"
        return f"opa-authz: {text}"


def _stay_one() -> None:
    """Make gunicorn ignore the signals after which two workers could run at the same time: the
    sessions are in one process."""
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
