"""One gRPC call over HTTP/2, in as many bytes as it takes.

dockerd answers gRPC on its own sockets from 29.2 on, before it asks any plugin (moby
``daemon/command/httphandler.go``). Owns the few frames that find that out (RFC 9113, RFC 7541); of
the answer it reads the status and what came with it, and nothing else.
"""

from __future__ import annotations

import dataclasses
import re
import ssl
from collections.abc import Iterator
from socket import socket
from typing import Final

from authz_plugin.errors import EndpointError
from authz_plugin.tools.docker_client import Endpoint, Reply, Tls

_GRPC: Final = "application/grpc"

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_POST, _HTTP, _HTTPS, _PATH, _AUTHORITY = b"\x83", b"\x86", b"\x87", b"\x04", b"\x01"
_CONTENT_TYPE: Final = b"\x0f\x10"
_EMPTY_MESSAGE: Final = bytes(5)
_FRAME_HEAD: Final = 9
_LIMIT: Final = 1 << 20

_INDEXED_STATUS: Final = {
    0x88: 200,
    0x89: 204,
    0x8A: 206,
    0x8B: 304,
    0x8C: 400,
    0x8D: 404,
    0x8E: 500,
}
_SIZE_UPDATE: Final = range(0x20, 0x40)
_NAMED_STATUS: Final = frozenset({0x08, 0x18, 0x48})
_DIGITS: Final = {
    **{f"{digit:05b}": str(digit) for digit in range(3)},
    **{f"{digit + 22:06b}": str(digit) for digit in range(3, 10)},
}
"""Huffman's codes of the digits (RFC 7541, appendix B)."""


def call(endpoint: Endpoint, method: str, timeout: float = 30.0) -> Reply:
    """Call a gRPC method with an empty message; raises ``EndpointError``.

    The reply's body is what came of the answer's data: a gRPC message if the call was served. An
    HTTP/1 server answers as such, with its headers.
    """
    scheme = _HTTP if endpoint.tls is None else _HTTPS
    with _connect(endpoint, timeout) as connection:
        try:
            connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0) + _request(method, scheme))
            return _read(connection)
        except TimeoutError as error:
            raise EndpointError(f"{endpoint.url} did not answer within {timeout:g} s") from error
        except OSError as error:
            raise EndpointError(f"{endpoint.url} gave no answer: {type(error).__name__}") from error


class _Http2(Tls):
    """TLS that offers HTTP/2 alone."""

    __slots__ = ()

    def context(self) -> ssl.SSLContext:
        context = super().context()
        context.set_alpn_protocols(["h2"])
        return context


def _connect(endpoint: Endpoint, timeout: float) -> socket:
    tls = endpoint.tls
    if tls is not None:
        offered = _Http2(tls.verify, tls.ca, tls.certificate, tls.key)
        endpoint = dataclasses.replace(endpoint, tls=offered)
    return endpoint.connect(timeout)


def _request(method: str, scheme: bytes) -> bytes:
    fields = (
        _POST + scheme + _PATH + _text(method) + _AUTHORITY + _text("docker")
        + _CONTENT_TYPE + _text(_GRPC) + b"\x00" + _text("te") + _text("trailers")
    )  # fmt: skip
    return _frame(_HEADERS, _END_HEADERS, 1, fields) + _frame(_DATA, _END_STREAM, 1, _EMPTY_MESSAGE)


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def _read(connection: socket) -> Reply:
    start = _receive(connection, _FRAME_HEAD)
    if start.startswith(b"HTTP/1."):
        return _read_http1(connection, start)
    status, body = 0, b""
    for kind, flags, stream, payload in _frames(connection, start):
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0))
        elif stream == 1 and kind == _HEADERS:
            status = status or _status(payload)
        elif stream == 1 and kind == _DATA:
            body += payload
        if kind in {_RESET, _GOAWAY} or (stream == 1 and flags & _END_STREAM):
            break
    return Reply(status, {}, body)


def _frames(connection: socket, head: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The frames that come, as type, flags, stream and payload, until the connection ends."""
    total = 0
    while len(head) == _FRAME_HEAD and total < _LIMIT:
        length = int.from_bytes(head[:3], "big")
        payload = _receive(connection, length)
        total += length
        yield head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload
        head = _receive(connection, _FRAME_HEAD)


def _status(fields: bytes) -> int:
    """The status, which is the first field of an answer; 0 for one that is not understood."""
    while fields and fields[0] in _SIZE_UPDATE:
        fields = fields[1:]
    if not fields:
        return 0
    if fields[0] in _NAMED_STATUS and len(fields) > 1:
        length, huffman = fields[1] & 0x7F, fields[1] & 0x80
        value = fields[2 : 2 + length]
        text = _digits(value) if huffman else value.decode("latin-1")
        return int(text) if re.fullmatch("[0-9]{3}", text) else 0
    return _INDEXED_STATUS.get(fields[0], 0)


def _digits(value: bytes) -> str:
    bits, found = "".join(f"{byte:08b}" for byte in value), ""
    while code := next((c for c in _DIGITS if bits.startswith(c)), None):
        found += _DIGITS[code]
        bits = bits[len(code) :]
    return found


def _read_http1(connection: socket, start: bytes) -> Reply:
    """The head of an answer by a server that does not speak HTTP/2."""
    text = start
    while b"\r\n\r\n" not in text and (part := connection.recv(1 << 16)):
        text += part
    line, *lines = text.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = line.split()
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    status = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    return Reply(status, headers, b"")


def _receive(connection: socket, count: int) -> bytes:
    """So many bytes, or fewer where the connection ends."""
    received = b""
    while len(received) < count and (part := connection.recv(count - len(received))):
        received += part
    return received
