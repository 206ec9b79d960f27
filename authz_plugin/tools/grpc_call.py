"""Make one gRPC call over HTTP/2 without upgrading from HTTP/1.1.

From 29.2 on, dockerd serves gRPC on its API sockets before it asks any plugin (moby
``daemon/command/httphandler.go``). ``h2`` implements HTTP/2 (RFC 9113).
"""

from __future__ import annotations

import dataclasses
import re
import ssl
from socket import socket
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error

from authz_plugin.errors import EndpointError
from authz_plugin.tools.docker_client import Endpoint, Reply, Tls

_CONFIGURATION: Final = H2Configuration(header_encoding=None, validate_inbound_headers=False)
"""For a client. Headers are bytes, and only the status of an answer matters."""
_EMPTY_MESSAGE: Final = bytes(5)
"""A gRPC message of length 0: the compression flag and the length."""
_FRAME_HEADER_LENGTH: Final = 9
_CHUNK: Final = 1 << 16
_LIMIT: Final = 1 << 20
"""The number of bytes after which an answer is not read any further."""


def call(endpoint: Endpoint, method: str, timeout: float = 30.0) -> Reply:
    """Call a gRPC method with an empty message and return the answer; raises ``EndpointError``.

    ``method`` is ``/package.Service/Method``. The reply has the status, no headers, and as its body
    the data of the answer: a gRPC message if the call was served. The status is 0 if the answer has
    none that can be read. If the server speaks HTTP/1, the reply has the status and the headers of
    its answer, and no body.
    """
    with _connect(endpoint, timeout) as connection:
        try:
            return _exchange(connection, _headers(endpoint, method))
        except TimeoutError as error:
            raise EndpointError(f"{endpoint.url} did not answer within {timeout:g} s") from error
        except OSError as error:
            raise EndpointError(f"{endpoint.url} gave no answer: {type(error).__name__}") from error


class _Http2Tls(Tls):
    """TLS that offers only HTTP/2."""

    __slots__ = ()

    def context(self) -> ssl.SSLContext:
        context = super().context()
        context.set_alpn_protocols(["h2"])
        return context


def _connect(endpoint: Endpoint, timeout: float) -> socket:
    tls = endpoint.tls
    if tls is not None:
        http2 = _Http2Tls(tls.verify, tls.ca, tls.certificate, tls.key)
        endpoint = dataclasses.replace(endpoint, tls=http2)
    return endpoint.connect(timeout)


def _headers(endpoint: Endpoint, method: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http" if endpoint.tls is None else "https"),
        (":path", method),
        (":authority", "docker"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]


def _exchange(connection: socket, headers: list[tuple[str, str]]) -> Reply:
    client = H2Connection(_CONFIGURATION)
    client.initiate_connection()
    stream = client.get_next_available_stream_id()
    client.send_headers(stream, headers)
    client.send_data(stream, _EMPTY_MESSAGE, end_stream=True)
    connection.sendall(client.data_to_send())
    received = _receive(connection, _FRAME_HEADER_LENGTH)
    if received.startswith(b"HTTP/1."):
        return _read_http1(connection, received)
    status, body = 0, b""
    while received and len(body) < _LIMIT:
        try:
            events = client.receive_data(received)
        except H2Error:
            break
        for event in events:
            if isinstance(event, ResponseReceived):
                status = _status(event)
            elif isinstance(event, DataReceived):
                body += event.data
                client.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, StreamEnded | StreamReset | ConnectionTerminated):
                return Reply(status, {}, body)
        connection.sendall(client.data_to_send())
        received = connection.recv(_CHUNK)
    return Reply(status, {}, body)


def _status(response: ResponseReceived) -> int:
    status = dict(response.headers).get(b":status", b"")
    return int(status) if re.fullmatch(rb"[0-9]{3}", status) else 0


def _read_http1(connection: socket, start: bytes) -> Reply:
    """Read the status line and the headers of an answer by a server without HTTP/2."""
    head = start
    while b"\r\n\r\n" not in head and (part := connection.recv(_CHUNK)):
        head += part
    line, *fields = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = line.split()
    pairs = (field.partition(":") for field in fields)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    status = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    return Reply(status, headers, b"")


def _receive(connection: socket, count: int) -> bytes:
    """Return so many bytes, or fewer if the connection ends before."""
    received = b""
    while len(received) < count and (part := connection.recv(count - len(received))):
        received += part
    return received
