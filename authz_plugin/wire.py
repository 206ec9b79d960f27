"""The HTTP of dockerd's messages and activation, in the form that it sends on a unix socket.

A request of any other form is ``OTHER``: gunicorn's parser then decides what it means. The form
leaves no choice about where a request ends: there is one Content-Length, no header twice, and none
that changes the framing or the connection. Sources: moby 28.5.2 ``pkg/plugins/client.go``; Go 1.26
``net/http/request.go`` (Request.write).
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

HEAD_LIMIT: Final = 2048
"""The maximum length of the part before the message, in bytes; dockerd's has about 200."""

OTHER: Final = "other"
INCOMPLETE: Final = "incomplete"

_STARTS: Final = (b"POST /AuthZPlugin.AuthZRe", b"POST /Plugin.Activate")
_HARMLESS: Final = rb"(?:(?:User-Agent|Accept|Accept-Encoding|Content-Type): [!-~][ -~]*\r\n)*"
_HEAD: Final = re.compile(
    rb"POST (/AuthZPlugin\.AuthZRe[qs]|/Plugin\.Activate) HTTP/1\.1\r\nHost: [!-~][ -~]*\r\n"
    + _HARMLESS
    + rb"Content-Length: ([0-9]{1,8})\r\n"
    + _HARMLESS
    + rb"\r\n"
)


class Head(NamedTuple):
    """The part of a request before the message, which is ``received[start:end]``."""

    path: str
    start: int
    end: int


def read_head(received: bytes | bytearray, limit: int) -> Head | Literal["other", "incomplete"]:
    """Read the beginning of a request; ``limit`` is the maximum length of a message.

    ``INCOMPLETE`` means that more bytes are needed to tell; ``OTHER`` that gunicorn must read it.
    """
    found = _HEAD.match(received)
    if found is None:
        return _may_become(received)
    length = int(found[2])
    names = [line.partition(b":")[0] for line in found[0].split(b"\r\n")]
    if length > limit or len(set(names)) < len(names) - 1:  # the last two are empty
        return OTHER
    return Head(found[1].decode(), found.end(), found.end() + length)


def _may_become(received: bytes | bytearray) -> Literal["other", "incomplete"]:
    is_start = any(received.startswith(start) or start.startswith(received) for start in _STARTS)
    is_short = len(received) < HEAD_LIMIT and b"\r\n\r\n" not in received
    return INCOMPLETE if is_start and is_short else OTHER


def response(body: bytes, content_type: str) -> bytes:
    """The response with status 200 and a body; the connection stays open."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        content_type.encode(),
        len(body),
        body,
    )
