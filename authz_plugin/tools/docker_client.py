"""A client of the Docker API that sends a request unchanged.

It connects to an endpoint (unix socket, TCP, TCP with TLS) and makes one HTTP/1.1 exchange on each
connection. It follows no redirects, repeats no request and adds no headers but those in
``Request.to_bytes`` and the endpoint's User-Agent: tools that test a daemon's reaction to a request
depend on its exact bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
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

_MAX_REPLY: Final = 32 << 20
"""Bytes of a reply's body that are read."""

_AGENT: Final = "User-Agent"
_TCP_PORT: Final = 2375
_TLS_PORT: Final = 2376


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    ``target`` is the request target and is sent without encoding it. ``headers`` are names and
    values in the order in which they are sent. ``body`` is sent with a Content-Length, or as one
    chunk if ``chunked`` is true.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunked: bool = False

    @classmethod
    def of_json(cls, method: str, target: str, body: object) -> Request:
        """Return a request with a JSON body and the Content-Type ``application/json``."""
        headers = (("Content-Type", "application/json"),)
        return cls(method, target, headers, json.dumps(body).encode())

    def to_bytes(self) -> bytes:
        """Return the bytes of the request, with the headers Host and ``Connection: close``."""
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
    """An HTTP reply; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The ``message`` of dockerd's JSON error, or the body as text if it is another one."""
        try:
            fields = json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace").strip()
        if isinstance(fields, dict) and isinstance(fields.get("message"), str):
            return str(fields["message"])
        return self.body.decode(errors="replace").strip()

    def json(self) -> Any:
        """Return the body as a JSON value; raises ``EndpointError`` if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise EndpointError("the Docker endpoint answered something else than JSON") from None


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS options for an endpoint, as paths of PEM files.

    ``verify`` is whether the endpoint's certificate is verified, with ``ca`` or, without it, the
    system's certificate authorities.
    """

    verify: bool
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the client's TLS context; raises ``EndpointError`` if a file cannot be loaded."""
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
    """A Docker endpoint: the path of a ``unix`` socket, or an ``address`` (host, port).

    ``agent`` is the User-Agent of requests that have none; they stay without one if it is empty.
    """

    url: str
    unix: Path | None = None
    address: tuple[str, int] = ("", 0)
    tls: Tls | None = None
    agent: str = ""

    def with_agent(self, request: Request) -> Request:
        """Return a request with the User-Agent of this endpoint, after its other headers."""
        if not self.agent or any(name.lower() == _AGENT.lower() for name, _ in request.headers):
            return request
        return dataclasses.replace(request, headers=(*request.headers, (_AGENT, self.agent)))

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection with a timeout in seconds; raises ``EndpointError`` if it fails."""
        try:
            if self.unix is not None:
                return _connect_unix(self.unix, timeout)
            plain = socket.create_connection(self.address, timeout)
            return plain if self.tls is None else _with_tls(plain, self.tls, self.address[0])
        except OSError as error:
            raise EndpointError(f"no Docker API at {self.url}: {error}") from error


def find_endpoint(
    host: str | None, tls: Tls | None, environment: Mapping[str, str], home: Path
) -> Endpoint:
    """Return the endpoint that the Docker CLI would use.

    ``host`` is the value of ``--host``; without it, ``DOCKER_HOST`` of the ``environment`` or
    ``DEFAULT_HOST`` is used. ``tls`` overrides ``DOCKER_TLS``, ``DOCKER_TLS_VERIFY`` and
    ``DOCKER_CERT_PATH``, whose default is ``.docker`` below ``home``. Raises ``SettingsError`` for
    a host that is neither ``unix://PATH`` nor ``tcp://HOST:PORT``.
    """
    origin = "--host" if host else "DOCKER_HOST"
    url = host or environment.get("DOCKER_HOST") or DEFAULT_HOST
    scheme, _, rest = url.partition("://")
    if scheme == "unix" and rest:
        return Endpoint(url, unix=Path(rest))
    if scheme != "tcp" or not rest:
        raise SettingsError(origin, "", f"{url} is neither unix://PATH nor tcp://HOST:PORT")
    tls = tls or _tls_of(environment, home)
    name, _, port = rest.rstrip("/").rpartition(":")
    if not port.isdigit():
        name, port = rest.rstrip("/"), str(_TCP_PORT if tls is None else _TLS_PORT)
    return Endpoint(url, address=(name.strip("[]"), int(port)), tls=tls)


def exchange(endpoint: Endpoint, request: Request, timeout: float = 30.0) -> Reply:
    """Send a request on a new connection and return the reply.

    ``timeout`` is in seconds, for each operation on the socket. Raises ``EndpointError`` if there
    is no reply.
    """
    wire = endpoint.with_agent(request).to_bytes()
    return exchange_bytes(endpoint, wire, request.method, timeout)


def exchange_bytes(endpoint: Endpoint, request: bytes, method: str, timeout: float = 30.0) -> Reply:
    """Send the bytes of a request on a new connection and return the reply.

    ``method`` is the HTTP method of the request: the reply to HEAD has no body. If the body of the
    reply cannot be read to its end, the reply has an empty one. Raises ``EndpointError`` if there
    is no reply.
    """
    with endpoint.connect(timeout) as connection:
        try:
            _send(connection, request)
            with contextlib.closing(http.client.HTTPResponse(connection, method=method)) as reply:
                reply.begin()
                return Reply(reply.status, _headers(reply), _body(reply))
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


def _with_tls(plain: socket.socket, tls: Tls, name: str) -> socket.socket:
    try:
        return tls.context().wrap_socket(plain, server_hostname=name)
    except (OSError, EndpointError):
        plain.close()
        raise


def _send(connection: socket.socket, request: bytes) -> None:
    try:
        connection.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        return  # dockerd can reply before it has read the whole body; the reply can still be read


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _body(response: http.client.HTTPResponse) -> bytes:
    if response.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
        return b""
    try:
        return response.read(_MAX_REPLY)
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
