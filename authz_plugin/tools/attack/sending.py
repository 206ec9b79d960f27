"""Send the request of an attack to an endpoint, byte for byte as its template says."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from typing import Final, cast

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.model import RequestTemplate
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange_bytes

_TIMEOUT: Final = 30.0


def send(endpoint: Endpoint, template: RequestTemplate, request: Request) -> Reply:
    """Send a rendered request and return the answer to it; raises ``EndpointError``."""
    wire = template.preceding + wire_format(template, endpoint.with_agent(request))
    if template.preceding:
        return _exchange_second(endpoint, wire, request.method)
    return exchange_bytes(endpoint, wire, request.method, _TIMEOUT)


def wire_format(template: RequestTemplate, request: Request) -> bytes:
    """Return the bytes of a request, with the protocol of its template.

    A request with an Upgrade header needs the option ``Upgrade`` in its Connection header too
    (RFC 9110, section 7.8).
    """
    wire = request.to_bytes()
    if template.protocol != "HTTP/1.1":
        wire = wire.replace(b" HTTP/1.1\r\n", f" {template.protocol}\r\n".encode(), 1)
    if any(name == "Upgrade" for name, _ in request.headers):
        wire = wire.replace(b"\r\nConnection: close", b"\r\nConnection: Upgrade, close", 1)
    return wire


def _exchange_second(endpoint: Endpoint, wire: bytes, method: str) -> Reply:
    """Send the bytes of two requests at once and return the answer to the second."""
    with endpoint.connect(_TIMEOUT) as connection:
        try:
            connection.sendall(wire)
            received = _ReceivedBytes(_receive_all(connection))
            _read_reply(received, "GET")
            return _read_reply(received, method)
        except (OSError, http.client.HTTPException) as error:
            raise EndpointError(f"{endpoint.url} gave no answer: {type(error).__name__}") from error


def _receive_all(connection: socket.socket) -> bytes:
    """Return everything that arrives until the other side closes the connection."""
    received = b""
    while part := connection.recv(1 << 16):
        received += part
    return received


class _ReceivedBytes(io.BytesIO):
    """Several HTTP responses in a row, in place of the socket that ``HTTPResponse`` reads from.

    ``HTTPResponse`` asks its socket for a file and closes that file after its own response. This
    one is the file too, and stays open, so that the next response can be read from it.
    """

    def makefile(self, _mode: str) -> io.BytesIO:
        return self

    def close(self) -> None:
        pass


def _read_reply(received: _ReceivedBytes, method: str) -> Reply:
    with contextlib.closing(
        http.client.HTTPResponse(cast("socket.socket", received), method=method)
    ) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, response.read())
