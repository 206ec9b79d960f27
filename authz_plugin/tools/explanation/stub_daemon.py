"""A stub Docker daemon on a unix socket, which keeps the requests that it receives.

Its replies have the form of dockerd 29.9.0's, API version 1.56, so that the Docker CLI continues
with the next request of a command. It carries out nothing.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import socketserver
from collections.abc import Mapping
from typing import Any, Final

from authz_plugin.dockerd import routes
from authz_plugin.dockerd.uri import read_target
from authz_plugin.errors import Refused
from authz_plugin.tools.docker_client import Request

_API_VERSION: Final = "1.56"
_ENGINE_VERSION: Final = "29.9.0"
_MAX_BODY: Final = 8 << 20
"""Bytes of a body that are kept; the rest is read and discarded."""

_ID: Final = "0" * 64
CONTAINER_ID: Final = _ID
"""The id of every container that a command creates. One that it inspects keeps its name as id, so
that later requests name a container of the host."""


class StubDaemon(socketserver.ThreadingUnixStreamServer):
    """A server on a unix socket that only its user can open; ``requests`` are in their order."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.requests: list[Request] = []
        super().__init__(path, _Handler)
        os.chmod(path, 0o600)  # noqa: PTH101 - the server has a string

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of a connection, such as one that the client has closed."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StubDaemon

    def handle_one_request(self) -> None:
        """Read a request of any method, keep it and reply to it."""
        line = self.rfile.readline(1 << 16)
        self.raw_requestline = line
        if not line.strip() or not self.parse_request():
            self.close_connection = True
            return
        request = self._read()
        self.server.requests.append(request)
        operation, reference = _operation_of(request)
        if operation in _HIJACKED:
            self._upgrade()
            return
        status, headers, body = _reply(operation, request.method, reference)
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""

    def _read(self) -> Request:
        chunked = "chunked" in (self.headers.get("Transfer-Encoding") or "").lower()
        body = self._read_chunks() if chunked else self._read_length()
        kept = tuple(
            (name, value)
            for name, value in self.headers.items()
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}
        )
        _, target, _ = self.raw_requestline.decode("latin-1").split(" ", 2)
        return Request(self.command, target, kept, body, chunked)

    def _read_length(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, _MAX_BODY))
        self._discard(length - len(body))
        return body

    def _read_chunks(self) -> bytes:
        body = b""
        while length := int(self.rfile.readline(64).partition(b";")[0] or b"0", 16):
            room = max(_MAX_BODY - len(body), 0)
            part = self.rfile.read(min(length, room))
            self._discard(length - len(part))
            body += part
            self.rfile.readline(8)
        self.rfile.readline(8)
        return body

    def _discard(self, length: int) -> None:
        while length > 0:
            part = self.rfile.read(min(length, 1 << 16))
            if not part:
                return
            length -= len(part)

    def _upgrade(self) -> None:
        """Reply with 101 and close the raw stream at once."""
        self.wfile.write(
            b"HTTP/1.1 101 UPGRADED\r\n"
            b"Content-Type: application/vnd.docker.raw-stream\r\n"
            b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        self.close_connection = True


_HIJACKED: Final = frozenset({"container.attach", "exec.start"})

_IMAGE: Final = {
    "Id": f"sha256:{_ID}",
    "RepoTags": ["recorded:latest"],
    "Os": "linux",
    "Architecture": "amd64",
    "Config": {},
    "RootFS": {"Type": "layers", "Layers": []},
}
_CONTAINER: Final = {
    "Id": _ID,
    "Name": "/recorded",
    "Image": f"sha256:{_ID}",
    "State": {"Status": "running", "Running": True, "ExitCode": 0},
    "Config": {"Image": "recorded", "Tty": False, "Labels": {}},
    "HostConfig": {"NetworkMode": "default", "LogConfig": {"Type": "json-file"}},
    "NetworkSettings": {"Networks": {}},
    "Mounts": [],
}
_INFO: Final = {
    "ID": "recorded",
    "OSType": "linux",
    "Architecture": "x86_64",
    "ServerVersion": _ENGINE_VERSION,
    "Swarm": {"LocalNodeState": "inactive"},
    "IndexServerAddress": "https://index.docker.io/v1/",
    "SecurityOptions": [],
}
_VERSION: Final = {
    "Version": _ENGINE_VERSION,
    "ApiVersion": _API_VERSION,
    "MinAPIVersion": "1.24",
    "Os": "linux",
    "Arch": "amd64",
}
_STAT: Final = {"name": "recorded", "size": 0, "mode": 0o644, "mtime": "2026-01-01T00:00:00Z"}
_FAILURE: Final = (500, {"message": "recorded"})
"""For operations whose reply the CLI would write to a file or to standard output."""

_REPLIES: Final[Mapping[str, tuple[int, Any]]] = {
    "container.archive.get": _FAILURE,
    "container.create": (201, {"Id": _ID, "Warnings": []}),
    "container.export": _FAILURE,
    "container.inspect": (200, _CONTAINER),
    "container.list": (200, []),
    "container.wait": (200, {"StatusCode": 0}),
    "exec.create": (201, {"Id": _ID}),
    "exec.inspect": (200, {"ID": _ID, "Running": False, "ExitCode": 0}),
    "image.build": (200, {"stream": "recorded\n"}),
    "image.export": _FAILURE,
    "image.inspect": (200, _IMAGE),
    "image.list": (200, []),
    "image.remove": (200, []),
    "network.create": (201, {"Id": _ID}),
    "network.inspect": (200, {"Name": "recorded", "Id": _ID, "Driver": "bridge"}),
    "network.list": (200, []),
    "plugin.list": (200, []),
    "secret.list": (200, []),
    "config.list": (200, []),
    "service.create": (201, {"ID": "recorded"}),
    "service.list": (200, []),
    "node.list": (200, []),
    "task.list": (200, []),
    "swarm.init": (200, "recorded"),
    "system.info": (200, _INFO),
    "system.version": (200, _VERSION),
    "volume.create": (201, {"Name": "recorded", "Driver": "local", "Mountpoint": ""}),
    "volume.inspect": (200, {"Name": "recorded", "Driver": "local", "Mountpoint": ""}),
    "volume.list": (200, {"Volumes": [], "Warnings": []}),
}
_DEFAULTS: Final[Mapping[str, tuple[int, Any]]] = {
    "GET": (200, {}),
    "POST": (200, {}),
    "PUT": (200, {}),
    "DELETE": (204, None),
}
_NO_CONTENT: Final = frozenset(
    {
        "container.checkpoint.restore",
        "container.kill",
        "container.pause",
        "container.rename",
        "container.restart",
        "container.start",
        "container.stop",
        "container.unpause",
    }
)


def _operation_of(request: Request) -> tuple[str, str]:
    """The id of a request's operation and the reference in its path, each empty if unknown."""
    try:
        target = read_target(request.target)
        found = routes.match(request.method, target.path, target.query)
    except Refused:
        return "", ""
    return found.operation.id, found.ref or ""


def _reply(operation: str, method: str, reference: str) -> tuple[int, dict[str, str], bytes]:
    headers = {"Api-Version": _API_VERSION, "Ostype": "linux", "Docker-Experimental": "false"}
    if operation == "system.ping":
        return 200, {**headers, "Content-Type": "text/plain", "Builder-Version": "1"}, b"OK"
    if operation == "container.archive.stat":
        stat = base64.b64encode(json.dumps(_STAT).encode()).decode()
        headers["X-Docker-Container-Path-Stat"] = stat
    fallback = (204, None) if operation in _NO_CONTENT else _DEFAULTS.get(method, (200, {}))
    status, content = _REPLIES.get(operation, fallback)
    if operation == "container.inspect":
        content = {**content, "Id": reference}
    body = b"" if content is None else json.dumps(content).encode() + b"\n"
    return status, {**headers, "Content-Type": "application/json"}, body
