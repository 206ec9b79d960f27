"""A service that takes what OPAs upload: their status and their decision logs."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


class LogReceiver:
    """What a running service has taken.

    ``status`` is its answer to each upload of decisions, ``delay`` the seconds until then;
    ``begun`` counts them, ``refused`` those not taken. It hands out ``bundle`` too, if that is not
    empty.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.begun = 0
        self.refused = 0
        self.delay = 0.0
        self.bundle = b""
        self._ended = threading.Event()
        self.events: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []

    def end(self) -> None:
        """Let no upload wait any longer."""
        self._ended.set()

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """The events of decisions, without those of outcomes."""
        return [event for event in self.events if event["path"].endswith("/decision")]

    def take(self, path: str, body: bytes) -> int:
        self.begun += path == "/logs"
        self._ended.wait(self.delay)
        if path.startswith("/status"):
            self.reports.append(orjson.loads(body))
            return 200
        if self.status != 200:
            self.refused += 1
        else:
            self.events += orjson.loads(gzip.decompress(body))
        return self.status


@contextmanager
def running_receiver(port: int = 0) -> Iterator[LogReceiver]:
    """Run the service on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200 if receiver.bundle else 404)
            self.send_header("Content-Length", str(len(receiver.bundle)))
            self.end_headers()
            self.wfile.write(receiver.bundle)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(self.path, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver = LogReceiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.end()
        server.shutdown()
        server.server_close()
        thread.join()
