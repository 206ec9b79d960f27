"""Raw bytes to a unix socket, and what comes back."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.harness.client import Response

_LIMIT: Final = 30.0
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def exchange(socket_: Path, request: bytes, limit: float = _LIMIT) -> Response:
    """Send bytes and read until the other side closes or switches protocols; the last answer.

    Status 0 stands for a connection that was closed without one.
    """
    answer = b""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(limit)
        raw.connect(str(socket_))
        with suppress(BrokenPipeError):  # it may answer and close before it has read all
            raw.sendall(request)
        while part := _receive(raw):
            answer += part
            if b"HTTP/1.1 101" in answer:
                break
    return _last(answer)


def _receive(raw: socket.socket) -> bytes:
    try:
        return raw.recv(1 << 16)
    except ConnectionResetError:
        return b""


def _last(answer: bytes) -> Response:
    found = list(_STATUS.finditer(answer))
    if not found:
        return Response(0, answer.decode(errors="replace"))
    _, _, body = answer[found[-1].start() :].partition(b"\r\n\r\n")
    return Response(int(found[-1].group(1)), body.decode(errors="replace"))
