"""A server that gives every connection one answer, whatever it is asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
