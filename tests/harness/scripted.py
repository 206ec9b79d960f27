"""Servers that answer as a test wants, whatever they are asked."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Answer = Callable[[ssl.SSLSocket], None]
"""Sends what it likes; the connection is closed afterwards."""


@contextmanager
def answering(listener: socket.socket, answer: bytes) -> Iterator[list[bytes]]:
    """Serve a bound socket until the end: read what arrives first, send bytes, and send no more.

    Yields what arrived first on each connection. The socket is closed at the end.
    """
    received: list[bytes] = []
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received.append(connection.recv(1 << 16))
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def bound(path: Path) -> socket.socket:
    """A unix socket that is bound to a path."""
    opened = socket.socket(socket.AF_UNIX)
    opened.bind(str(path))
    return opened


class TlsService:
    """A TLS server whose answers and certificate may be changed while it runs.

    ``received`` has what was asked, beginning with the first line.
    """

    def __init__(self, address: str, certificate: tuple[Path, Path]) -> None:
        self._listener = socket.create_server((address, 0))
        self.url = "https://{}:{}".format(*self._listener.getsockname())
        self.certificate = certificate
        self.answer: Answer = answer_with("404 Not Found")
        self.received: list[str] = []

    def serve(self) -> None:
        """Answer until the socket is shut down."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        with (
            connection,
            contextlib.suppress(OSError),
            context.wrap_socket(connection, server_side=True) as tls,
        ):
            self.received.append(_request(tls).decode(errors="replace"))
            self.answer(tls)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _request(connection: ssl.SSLSocket) -> bytes:
    """What arrives first, with the rest of its body."""
    found = connection.recv(1 << 16)
    head, _, body = found.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
    rest = int(length[1]) - len(body) if length else 0
    while rest > 0 and (more := connection.recv(rest)):
        found += more
        rest -= len(more)
    return found


@contextmanager
def running_service(address: str, certificate: tuple[Path, Path]) -> Iterator[TlsService]:
    """A TLS server on a free port of an address; certificate and key are PEM files."""
    service = TlsService(address, certificate)
    thread = threading.Thread(target=service.serve)
    thread.start()
    try:
        yield service
    finally:
        service.close()
        thread.join()


def answer_with(status: str, body: bytes = b"", *headers: str) -> Answer:
    """An answer of HTTP that is whole."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]

    def answer(connection: ssl.SSLSocket) -> None:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return answer


def answer_nothing(connection: ssl.SSLSocket) -> None:
    """Read until the other side gives up."""
    while connection.recv(1 << 16):
        pass


def answer_forever(connection: ssl.SSLSocket) -> None:
    """The beginning of an archive, and then a byte from time to time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n\x1f\x8b\x08" + bytes(7))
    while True:
        connection.sendall(b"\0")
        threading.Event().wait(0.1)
