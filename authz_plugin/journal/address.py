"""The HTTP server for ``/metrics``, ``/healthz`` and ``/readyz``, on a separate socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Final

import orjson

from authz_plugin.journal.journal import Health, Journal
from authz_plugin.journal.scrape import Scrape

_JSON: Final = "application/json"
_CONNECTIONS: Final = 8
_LONGEST: Final = 15.0
"""Seconds that a connection may last."""


def serve(scrape: Scrape, journal: Journal) -> None:
    """Answer requests on an open socket, in daemon threads, until the process ends."""
    server = _Server(scrape, journal)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Server(ThreadingMixIn, HTTPServer):
    """Serves at most ``_CONNECTIONS`` connections at a time; further ones wait. This does not
    affect dockerd's connections, which another server answers. A connection is closed after
    ``_LONGEST`` seconds, whatever its client does."""

    daemon_threads = True

    def __init__(self, scrape: Scrape, journal: Journal) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = scrape.listener
        self.scrape = scrape
        self.journal = journal
        self._free = threading.BoundedSemaphore(_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        end = threading.Timer(_LONGEST, _shut, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.scrape.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(_Handler.timeout)
        # A copy, because wrap_socket takes over the socket that the timer and the server close.
        with self.scrape.tls.wrap_socket(request.dup(), server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: the error is that a client closed its connection."""


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "opa-authz"
    sys_version = ""
    timeout = 5

    def do_GET(self) -> None:
        if not self.server.scrape.admits(self.headers.get("Authorization", "")):
            self._answer(HTTPStatus.UNAUTHORIZED, b"a token is needed\n", "text/plain")
            return
        path = self.path.partition("?")[0]
        journal = self.server.journal
        if path == "/metrics":
            content, content_type = journal.metrics.render(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content, content_type)
        elif path == "/healthz":
            health = journal.health()
            self._tell(health, is_good=not health.faults)
        elif path == "/readyz":
            health = journal.health()
            self._tell(health, is_good=health.is_ready)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /healthz, /readyz\n", "text/plain")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Do not log requests."""

    def _tell(self, health: Health, *, is_good: bool) -> None:
        document = {"status": "ok" if is_good else "failing", "faults": dict(health.faults)}
        status = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE), _JSON)

    def _answer(self, status: HTTPStatus, content: bytes, content_type: str) -> None:
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
