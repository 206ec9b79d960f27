"""A client of the Docker API that sends exactly what it is told to.

Owns the way to a Docker endpoint (unix socket, TCP, TCP with TLS) and one HTTP exchange on it. It
follows nothing, repeats nothing and knows no operation: tools that try what a daemon does with a
request must know what was sent, byte by byte.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authz_plugin.errors import EndpointError, SettingsError

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"

_ANSWER_LIMIT: Final = 32 << 20
_TCP_PORT: Final = 2375
_TLS_PORT: Final = 2376


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. ``target`` is sent as it is, ``headers`` in their order; ``body`` is sent
    with its length, or in chunks if ``chunked``."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunked: bool = False

    @classmethod
    def of_json(cls, method: str, target: str, body: object) -> Request:
        """A request with a JSON body."""
        headers = (("Content-Type", "application/json"),)
        return cls(method, target, headers, json.dumps(body).encode())

    def to_bytes(self) -> bytes:
        """The request as it goes over the wire, for a connection that ends with it."""
        framing: tuple[tuple[str, str], ...] = ()
        body = self.body
        if self.chunked:
            framing = (("Transfer-Encoding", "chunked"),)
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif body or self.method in {"POST", "PUT"}:
            framing = (("Content-Length", str(len(body))),)
        headers = (("Host", "docker"), ("Connection", "close"), *framing, *self.headers)
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """dockerd's error message, or the body as text."""
        try:
            fields = json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace").strip()
        if isinstance(fields, dict) and isinstance(fields.get("message"), str):
            return str(fields["message"])
        return self.body.decode(errors="replace").strip()

    def json(self) -> Any:
        """The body as JSON; raises ``EndpointError`` if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise EndpointError("the Docker endpoint answered something else than JSON") from None


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS towards an endpoint: ``verify`` is whether its certificate is checked."""

    verify: bool
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises ``EndpointError`` for files that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.verify and self.ca is not None:
                context.load_verify_locations(self.ca)
            elif self.verify:
                context.load_default_certs()
            else:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise EndpointError(f"the TLS files cannot be used: {error}") from error
        return context


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Docker API is: a ``unix`` socket, or an ``address`` with or without TLS."""

    url: str
    unix: Path | None = None
    address: tuple[str, int] = ("", 0)
    tls: Tls | None = None

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection; raises ``EndpointError``."""
        try:
            if self.unix is not None:
                return _connect_unix(self.unix, timeout)
            plain = socket.create_connection(self.address, timeout)
            return plain if self.tls is None else _secured(plain, self.tls, self.address[0])
        except OSError as error:
            raise EndpointError(f"no Docker API at {self.url}: {error}") from error


def find_endpoint(
    host: str | None, tls: Tls | None, environment: Mapping[str, str], home: Path
) -> Endpoint:
    """The endpoint that the Docker CLI would take: a flag, then ``DOCKER_HOST``, then its default.

    ``tls`` goes before ``DOCKER_TLS``, ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``. Raises
    ``SettingsError`` for a host of another form.
    """
    where = "--host" if host else "DOCKER_HOST"
    url = host or environment.get("DOCKER_HOST") or DEFAULT_HOST
    scheme, _, rest = url.partition("://")
    if scheme == "unix" and rest:
        return Endpoint(url, unix=Path(rest))
    if scheme != "tcp" or not rest:
        raise SettingsError(where, "", f"{url} is neither unix://PATH nor tcp://HOST:PORT")
    tls = tls or _tls_of(environment, home)
    name, _, port = rest.rstrip("/").rpartition(":")
    if not port.isdigit():
        name, port = rest.rstrip("/"), str(_TCP_PORT if tls is None else _TLS_PORT)
    return Endpoint(url, address=(name.strip("[]"), int(port)), tls=tls)


def exchange(endpoint: Endpoint, request: Request, timeout: float = 30.0) -> Reply:
    """Send a request on a connection of its own and read the answer; raises ``EndpointError``."""
    return exchange_bytes(endpoint, request.to_bytes(), request.method, timeout)


def exchange_bytes(endpoint: Endpoint, request: bytes, method: str, timeout: float = 30.0) -> Reply:
    """Send bytes as they are and read the answer; ``method`` says whether one has a body.

    An answer that begins but does not end in time counts with what is there of it. Raises
    ``EndpointError``.
    """
    with endpoint.connect(timeout) as connection:
        try:
            _send(connection, request)
            with contextlib.closing(http.client.HTTPResponse(connection, method=method)) as answer:
                answer.begin()
                return Reply(answer.status, _headers(answer), _body(answer))
        except TimeoutError as error:
            raise EndpointError(f"{endpoint.url} did not answer within {timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            reason = type(error).__name__
            raise EndpointError(f"{endpoint.url} gave no answer: {reason}") from error


def _connect_unix(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _secured(plain: socket.socket, tls: Tls, name: str) -> socket.socket:
    try:
        return tls.context().wrap_socket(plain, server_hostname=name)
    except (OSError, EndpointError):
        plain.close()
        raise


def _send(connection: socket.socket, request: bytes) -> None:
    try:
        connection.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        return  # dockerd may answer before it has read the body, and the answer is there


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _body(response: http.client.HTTPResponse) -> bytes:
    if response.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
        return b""
    try:
        return response.read(_ANSWER_LIMIT)
    except (OSError, http.client.HTTPException):
        return b""


def _tls_of(environment: Mapping[str, str], home: Path) -> Tls | None:
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    if not verify and not environment.get("DOCKER_TLS"):
        return None
    folder = Path(environment.get("DOCKER_CERT_PATH") or home / ".docker")
    files = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    ca, certificate, key = (file if os.access(file, os.R_OK) else None for file in files)
    return Tls(verify, ca, certificate, key)
