"""A plugin's side of dockerd's plugin protocol: HTTP on a unix socket, one function behind it."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

Answer = Callable[[str, bytes], bytes]
"""What is answered to the bytes that are posted to a path."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, socket_: Path, answer: Answer) -> None:
        super().__init__(str(socket_), _Handler)
        self.answer = answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        message = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.answer(self.path, message)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def plugin_socket(socket_: Path, answer: Answer) -> Iterator[None]:
    """Answer what dockerd posts to a plugin's socket, until the end."""
    socket_.parent.mkdir(parents=True, exist_ok=True)
    with _Server(socket_, answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            socket_.unlink()
