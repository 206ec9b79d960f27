"""A raw HTTP client on a unix socket: what is sent is exactly what is written."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of dockerd's."""

    status: int
    text: str


def connect(socket_: Path) -> http.client.HTTPConnection:
    """A connection that stays open between requests."""
    connection = http.client.HTTPConnection("docker", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    try:
        connection.sock.connect(str(socket_))
    except OSError:
        connection.close()
        raise
    return connection


def call(
    socket_: Path,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Response:
    """Send one request and read the answer."""
    connection = connect(socket_)
    try:
        with suppress(BrokenPipeError):  # dockerd may answer before it has read the body
            connection.request(method, path, body or None, dict(headers or {}))
        response = connection.getresponse()
        return Response(response.status, response.read().decode(errors="replace"))
    finally:
        connection.close()
