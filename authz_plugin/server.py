"""The gunicorn application: one worker with threads, on a socket that is already open.

The worker does not close idle connections: dockerd keeps its connections open without limit, and if
the plugin closes one, dockerd waits a second or more before it retries a message.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import select
import selectors
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gunicorn.glogging
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from authz_plugin.endpoints import AUTHZ_MESSAGE_LIMIT, Endpoints
from authz_plugin.exchange import Exchange
from authz_plugin.processes import die_with_parent
from authz_plugin.protocol import CONTENT_TYPE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_MOMENT: Final = 10
"""Milliseconds that a thread waits for the next message; see ``Worker``."""

_TRANSFER: Final = 2.0
"""Seconds for receiving a message and sending its answer, in addition to the deadline."""

MakeEndpoints = Callable[[Callable[[], None]], Endpoints]
"""Makes the endpoints; given a function that they must call before anything that may wait."""

_LINGER: Final = 2.0
"""Seconds that a stopping worker keeps idle connections open, for a message on its way."""

_FOREVER: Final = 10 * 365 * 24 * 3600
_LISTEN_FD: Final = 3  # systemd's socket activation protocol, which gunicorn implements


class Tls(NamedTuple):
    """The PEM files of mutual TLS: the server's certificate and key, and the certificate of the
    authority that must have issued the client's certificate."""

    certificate: Path
    key: Path
    client_ca: Path


class Application(BaseApplication):
    """The gunicorn application; see ``serve`` for the parameters."""

    def __init__(
        self,
        threads: int,
        tls: Tls | None,
        make_endpoints: MakeEndpoints,
        when_serving: Callable[[], None],
        when_done: Callable[[], None],
        *,
        deadline: float,
    ) -> None:
        self.patience = deadline + _TRANSFER
        self._threads = threads
        self._tls = tls
        self._make_endpoints = make_endpoints
        self._when_serving = when_serving
        self._when_done = when_done
        self.step_aside: Callable[[], None] = lambda: None
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "worker_class": Worker,
            "workers": 1,
            "threads": self._threads,
            "worker_connections": 1024,
            "keepalive": _FOREVER,
            "timeout": 30,
            "graceful_timeout": 10,
            "control_socket_disable": True,
            "loglevel": "warning",
            "logger_class": _Logger,
            "proc_name": "opa-authz",
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108, PTH112
            "pre_fork": lambda _arbiter, _worker: gc.freeze(),
            "post_fork": lambda _arbiter, _worker: die_with_parent(),
            "post_worker_init": lambda _: self._when_serving(),
            "worker_exit": lambda _arbiter, _worker: self._when_done(),
            "when_ready": lambda _: _stay_one(),
        }
        if self._tls is not None:
            options |= {
                "certfile": str(self._tls.certificate),
                "keyfile": str(self._tls.key),
                "ca_certs": str(self._tls.client_ca),
                "cert_reqs": ssl.CERT_REQUIRED,
                "ssl_context": _ssl_context,
            }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return _Flask(self._make_endpoints(self.step_aside))


def serve(
    listener: int,
    make_endpoints: MakeEndpoints,
    when_serving: Callable[[], None],
    when_done: Callable[[], None],
    *,
    threads: int,
    tls: Tls | None,
    deadline: float,
) -> None:
    """Serve on the open socket ``listener`` (a file descriptor) until SIGTERM; raises SystemExit.

    ``make_endpoints`` is called in the worker with a function that the endpoints must call before
    anything that may wait (an engine, a disk); ``when_serving`` is called as soon as the worker is
    ready, and ``when_done`` in the worker after its last answer. ``threads`` is the maximum number
    of messages that are answered at the same time, ``tls`` is None for a unix socket, ``deadline``
    is the maximum time of a decision in seconds.
    """
    os.dup2(listener, _LISTEN_FD, inheritable=True)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.environ.pop("NOTIFY_SOCKET", None)
    Application(threads, tls, make_endpoints, when_serving, when_done, deadline=deadline).run()


class _Flask:
    """The Flask application, which is imported and made for the first request that it answers.

    On a unix socket, dockerd's messages do not need it: its import would take a fifth of the start,
    and 6 MB.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self._lock = threading.Lock()
        self._app: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.made()(environ, start_response)

    def made(self) -> WSGIApplication:
        """The application; the first call makes it."""
        with self._lock:
            if self._app is None:
                from authz_plugin.app import create_app  # noqa: PLC0415

                self._app = create_app(self.endpoints)
            return self._app


class Worker(ThreadWorker):
    """A worker that answers dockerd's messages in an ``Exchange``, and all else as gunicorn does.

    gunicorn's poller and threads accept connections, and read what the exchange passes on: requests
    of another form than dockerd's messages have, and those on connections with TLS. On these, a
    thread waits ``_MOMENT`` for the next message before it returns the connection to the poller, as
    long as there is a thread for each connection.

    A connection gets a thread when it is readable. It is closed if its message is not received,
    decided on and answered within the deadline plus ``_TRANSFER``.
    """

    app: Application

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[Any, float] = {}
        self._exchange: Exchange[Any] | None = None

    def load_wsgi(self) -> None:
        """Make the application, and the exchange that calls it."""
        self.app.step_aside = self._step_aside
        super().load_wsgi()
        if not self.cfg.is_ssl:
            self._exchange = Exchange(
                self._flask.endpoints.answers,
                self.cfg.threads,
                AUTHZ_MESSAGE_LIMIT,
                CONTENT_TYPE,
                pass_on=lambda conn, received: self.method_queue.defer(self._take, conn, received),
                closed=lambda _: self.method_queue.defer(self._count_end),
            )

    def run(self) -> None:
        """Serve; with TLS, make the Flask application meanwhile, as the first request needs it."""
        if self._exchange is None:
            threading.Thread(target=self._flask.made, name="flask", daemon=True).start()
        super().run()

    def enqueue_req(self, conn: Any) -> None:
        """Queue a connection for a thread; a new one as soon as it is readable."""
        if conn.initialized or conn.data_ready or not self.alive:
            super().enqueue_req(conn)
        elif self._exchange is not None:
            self._exchange.add(conn, conn.sock)
        else:
            conn.sock.settimeout(0)
            conn.set_timeout()
            self.pending_conns.append(conn)
            readable = functools.partial(self.on_pending_socket_readable, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Return a connection that stays open to the exchange, from which it came."""
        stays = self.alive and fs.exception() is None and fs.result() is True
        if self._exchange is None or not stays or conn.parser.unreader.buf.getvalue():
            super().finish_request(conn, fs)
        else:
            self._exchange.add(conn, conn.sock)

    def handle(self, conn: Any) -> Any:
        """Answer a message and, with TLS, those that follow within ``_MOMENT``; return whether the
        connection stays open."""
        stays = self._answer(conn)
        while stays is True and self._exchange is None and self._may_wait():
            if not _is_readable(conn.sock):
                break
            stays = self._answer(conn)
        return stays

    def murder_pending(self) -> None:
        """Close connections that take too long; gunicorn calls this at least once a second."""
        super().murder_pending()
        latest = time.monotonic() - self.app.patience
        if self._exchange is not None:
            self._exchange.end_before(latest)
        for conn, begun in list(self._begun.items()):
            if begun < latest:
                with contextlib.suppress(OSError):  # SSLSocket.shutdown would drop its TLS object
                    socket.socket.shutdown(conn.sock, socket.SHUT_RDWR)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: gunicorn answers the last messages, and closes the connections."""
        if self.alive and self._exchange is not None:
            self._exchange.stop()
        super().handle_exit(sig, frame)

    @property
    def _flask(self) -> _Flask:
        made = self.app.wsgi()
        assert isinstance(made, _Flask)
        return made

    def _may_wait(self) -> bool:
        return self.alive and self.nr_conns <= self.cfg.threads

    def _step_aside(self) -> None:
        if self._exchange is not None:
            self._exchange.step_aside()

    def _take(self, conn: Any, received: bytes) -> None:
        """Serve a connection that the exchange has passed on, as gunicorn does."""
        if received:
            conn.init()
            conn.parser.unreader.unread(received)
            super().enqueue_req(conn)
        elif self.alive:
            self.enqueue_req(conn)
        else:
            conn.timeout = time.monotonic() + _LINGER
            self.keepalived_conns.append(conn)
            readable = functools.partial(self.on_client_socket_readable, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def _count_end(self) -> None:
        self.nr_conns -= 1

    def _answer(self, conn: Any) -> Any:
        self._begun[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            del self._begun[conn]


def _is_readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(_MOMENT))


class _Logger(gunicorn.glogging.Logger):
    """Sends gunicorn's log events to the log of the plugin."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.setLevel(logging.WARNING)
        self.error_log.propagate = True


def _stay_one() -> None:
    """Make gunicorn ignore the signals after which two workers could run at the same time: pending
    requests, counters and the audit file must be in one process."""
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _ssl_context(_: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
