"""HTTP exchanges with OPA, each within a deadline.

A unix socket, on which the plugin's own OPA listens, is used with ``http.client`` and persistent
connections; TCP and TLS are used with ``requests`` (``tcp_transport``).
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from authz_plugin.errors import EngineError, EngineSetupError

ANSWER_LIMIT: Final = 1 << 20
"""The maximum length of an answer, in bytes; a decision has a few hundred."""

NO_HEADERS: Final[Mapping[str, str]] = {}


class OpaAddress(NamedTuple):
    """Address and credentials of an OPA: ``url`` is ``unix:/path``, ``http://…`` or ``https://…``.

    ``token_file`` contains a bearer token. The others are PEM files: ``ca`` is the certificate of
    the authority that must have issued OPA's certificate; ``certificate`` and ``key`` are the
    client's; if ``key`` is None, the key is in ``certificate``.
    """

    url: str
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class UnreachableError(EngineError):
    """OPA did not receive the query or closed the connection: the query can be repeated."""


class Transport(Protocol):
    """Sends HTTP requests to one OPA."""

    def exchange(
        self,
        method: str,
        path: str,
        question: bytes,
        end: float,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> tuple[int, bytes]:
        """Send a request with the body ``question``; return status and body of the response.

        ``headers`` are added to the transport's own; ``end`` is the ``time.monotonic()`` by which
        the response must be complete. Raises ``EngineError``, and its subclass ``UnreachableError``
        if the connection fails.
        """

    def close(self) -> None:
        """Close the persistent connections."""


def open_transport(opa: OpaAddress) -> Transport:
    """A transport for an address; raises ``EngineSetupError``."""
    if not opa.url:
        raise EngineSetupError("there is no OPA to ask: opa.url is not set")
    headers = {"Content-Type": "application/json"}
    if opa.token_file is not None:
        headers["Authorization"] = f"Bearer {_token(opa.token_file)}"
    if opa.url.startswith("unix:"):
        return UnixTransport(Path(opa.url.removeprefix("unix:").removeprefix("//")), headers)
    from authz_plugin.engine.tcp_transport import TcpTransport  # noqa: PLC0415 - imports requests

    return TcpTransport(opa, headers)


class UnixTransport:
    """OPA on a unix socket.

    If the path is a symbolic link, an open connection is reused only as long as the link still
    points to the socket of that connection. After the link changes, exchanges use the new target.
    """

    def __init__(self, socket_: Path, headers: Mapping[str, str]) -> None:
        self._socket = str(socket_)
        self._headers = {**headers, "Host": "opa"}
        self._idle: list[_UnixConnection] = []

    def exchange(
        self,
        method: str,
        path: str,
        question: bytes,
        end: float,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> tuple[int, bytes]:
        connection = self._take_connection()
        connection.end = end
        try:
            connection.request(method, path, question, {**self._headers, **headers})
            answer = self._read(connection.getresponse())
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise EngineError("OPA did not answer in time") from None
            if isinstance(error, OSError | http.client.IncompleteRead):
                raise UnreachableError(f"OPA cannot be reached: {type(error).__name__}") from None
            if isinstance(error, http.client.HTTPException | ValueError):
                raise EngineError("OPA's answer is not HTTP") from None
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take_connection(self) -> _UnixConnection:
        place = self._place()
        while self._idle:
            connection = self._idle.pop()
            if connection.place == place:
                return connection
            connection.close()
        return _UnixConnection(place)

    def _place(self) -> str:
        try:
            return os.readlink(self._socket)  # noqa: PTH115 - three times as quick
        except OSError:
            return self._socket

    def _read(self, response: http.client.HTTPResponse) -> tuple[int, bytes]:
        answer = response.read(ANSWER_LIMIT)
        if not response.isclosed():
            raise EngineError("OPA's answer is too large to be a decision")
        return response.status, answer


class _UnixConnection(http.client.HTTPConnection):
    """A connection on which each system call must return by ``end``, a ``time.monotonic()``."""

    def __init__(self, place: str) -> None:
        super().__init__("opa")
        self.place = place
        self.end = 0.0

    def connect(self) -> None:
        self.sock = _DeadlineSocket(self)
        self.sock.connect(self.place)

    def left(self) -> float:
        """The seconds until ``end``; raises ``TimeoutError`` if it has passed."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _DeadlineSocket(socket.socket):
    """A unix socket whose timeout is set from its connection's deadline before each call."""

    def __init__(self, connection: _UnixConnection) -> None:
        super().__init__(socket.AF_UNIX)
        self._connection = connection

    def connect(self, address: Any) -> None:
        self.settimeout(self._connection.left())
        super().connect(address)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(self._connection.left())
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(self._connection.left())
        return super().recv_into(buffer, nbytes, flags)


def _token(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise EngineSetupError(f"opa.token_file cannot be read: {error}") from error
