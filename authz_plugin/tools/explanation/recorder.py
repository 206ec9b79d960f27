"""What a Docker command line asks of dockerd, found out without one.

Runs the real Docker CLI against an endpoint of ours, which writes down every request and answers
so that the command goes on. No dockerd hears of it.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import pty
import re
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authz_plugin.dockerd import routes
from authz_plugin.dockerd.uri import read_target
from authz_plugin.errors import Refused, SetupError
from authz_plugin.tools.docker_client import Request

PROGRAMS: Final = frozenset({"docker", "docker-compose"})

_API: Final = "1.51"
_ENGINE: Final = "28.5.2"
_TIME_LIMIT: Final = 20.0
_BODY_LIMIT: Final = 8 << 20
_ID: Final = "0" * 64
_ELSEWHERE: Final = re.compile(r"-[^-]*[Hc]|--(host|context)(=|$)")
_CONNECTION: Final = (
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
)

_CREDENTIALS: Final = frozenset({"auths", "credHelpers", "credsStore", "currentContext"})


@dataclass(frozen=True, slots=True)
class CapturedRequests:
    """The requests of a command, in their order, and how the command ended: its exit status, None
    if it did not end in time, and what it said on standard error."""

    requests: tuple[Request, ...]
    status: int | None
    stderr: str


def record(command: Sequence[str], environment: Mapping[str, str]) -> CapturedRequests:
    """Run a Docker command line and write down what it asks; raises ``SetupError``."""
    program = shutil.which(command[0], path=environment.get("PATH"))
    if Path(command[0]).name not in PROGRAMS or program is None:
        raise SetupError(f"{command[0]} is not a Docker CLI that is installed here")
    _stay_here(command)
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        place = Path(folder)
        _copy_config(environment, place / "config")
        with _Server(str(place / "docker.sock")) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            try:
                status, stderr = _run([program, *command[1:]], environment, place)
                if status and "not a TTY" in stderr:
                    server.requests.clear()
                    status, stderr = _run_on_terminal([program, *command[1:]], environment, place)
            finally:
                server.shutdown()
                thread.join()
            requests = tuple(server.requests)
    if not requests:
        raise SetupError(
            f"`{' '.join(command)}` asked nothing of dockerd" + (f": {stderr}" if stderr else "")
        )
    return CapturedRequests(requests, status, stderr)


def _stay_here(command: Sequence[str]) -> None:
    """Refuse options that would lead the command to another daemon, and so run it."""
    for word in command[1:]:
        if not word.startswith("-"):
            return
        if _ELSEWHERE.match(word):
            raise SetupError(
                f"leave out {word}: it would send the command to a real daemon; explain asks none"
            )


def _copy_config(environment: Mapping[str, str], copy: Path) -> None:
    """The CLI's settings and plugins, without credentials, contexts and who keeps them: it neither
    uses nor stores any."""
    home = Path(environment.get("HOME") or "/root")
    original = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
    copy.mkdir(mode=0o700)
    try:
        settings = json.loads((original / "config.json").read_text())
    except (OSError, ValueError):
        settings = {}
    kept = {key: value for key, value in settings.items() if key not in _CREDENTIALS}
    (copy / "config.json").write_text(json.dumps(kept))
    if (original / "cli-plugins").is_dir():
        (copy / "cli-plugins").symlink_to((original / "cli-plugins").resolve())


def _run_on_terminal(
    command: Sequence[str], environment: Mapping[str, str], place: Path
) -> tuple[int | None, str]:
    """Run a command that wants a terminal (``-t``) on one where nobody types."""
    ours, theirs = pty.openpty()
    try:
        return _run(command, environment, place, theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def _run(
    command: Sequence[str],
    environment: Mapping[str, str],
    place: Path,
    stdin: int = subprocess.DEVNULL,
) -> tuple[int | None, str]:
    variables = {k: v for k, v in environment.items() if k not in _CONNECTION}
    try:
        done = subprocess.run(
            command,
            env={
                **variables,
                "DOCKER_CONFIG": str(place / "config"),
                "DOCKER_HOST": f"unix://{place / 'docker.sock'}",
                "DOCKER_CLI_HINTS": "false",
            },
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=_TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be run: {error.strerror}") from error
    return done.returncode, done.stderr.strip()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.requests: list[Request] = []
        super().__init__(path, _Handler)
        os.chmod(path, 0o600)  # noqa: PTH101 - the server has a string

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is none of the operator's concern."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        """Read a request of any method, write it down and answer it."""
        line = self.rfile.readline(1 << 16)
        self.raw_requestline = line
        if not line.strip() or not self.parse_request():
            self.close_connection = True
            return
        request = self._read()
        self.server.requests.append(request)
        operation = _operation(request)
        if operation in _HIJACKED:
            self._upgrade()
            return
        status, headers, body = _answer(operation, request.method)
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Standard error is the operator's."""

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
        body = self.rfile.read(min(length, _BODY_LIMIT))
        self._discard(length - len(body))
        return body

    def _read_chunks(self) -> bytes:
        body = b""
        while length := int(self.rfile.readline(64).partition(b";")[0] or b"0", 16):
            room = max(_BODY_LIMIT - len(body), 0)
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
        """Open a stream, say nothing on it and end it."""
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
    "ServerVersion": _ENGINE,
    "Swarm": {"LocalNodeState": "inactive"},
    "IndexServerAddress": "https://index.docker.io/v1/",
    "SecurityOptions": [],
}
_VERSION: Final = {
    "Version": _ENGINE,
    "ApiVersion": _API,
    "MinAPIVersion": "1.24",
    "Os": "linux",
    "Arch": "amd64",
}
_STAT: Final = {"name": "recorded", "size": 0, "mode": 0o644, "mtime": "2026-01-01T00:00:00Z"}
_NOTHING_TO_GIVE: Final = (500, {"message": "recorded"})
"""For what the CLI would write to a file of the operator's."""

_ANSWERS: Final[Mapping[str, tuple[int, Any]]] = {
    "container.archive.get": _NOTHING_TO_GIVE,
    "container.create": (201, {"Id": _ID, "Warnings": []}),
    "container.export": _NOTHING_TO_GIVE,
    "container.inspect": (200, _CONTAINER),
    "container.list": (200, []),
    "container.wait": (200, {"StatusCode": 0}),
    "exec.create": (201, {"Id": _ID}),
    "exec.inspect": (200, {"ID": _ID, "Running": False, "ExitCode": 0}),
    "image.build": (200, {"stream": "recorded\n"}),
    "image.export": _NOTHING_TO_GIVE,
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
_NOTHING: Final[Mapping[str, tuple[int, Any]]] = {
    "GET": (200, {}),
    "POST": (200, {}),
    "PUT": (200, {}),
    "DELETE": (204, None),
}
_DONE: Final = frozenset(
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


def _operation(request: Request) -> str:
    try:
        target = read_target(request.target)
        return routes.match(request.method, target.path, target.query).operation.id
    except Refused:
        return ""


def _answer(operation: str, method: str) -> tuple[int, dict[str, str], bytes]:
    headers = {"Api-Version": _API, "Ostype": "linux", "Docker-Experimental": "false"}
    if operation == "system.ping":
        return 200, {**headers, "Content-Type": "text/plain", "Builder-Version": "1"}, b"OK"
    if operation == "container.archive.stat":
        stat = base64.b64encode(json.dumps(_STAT).encode()).decode()
        headers["X-Docker-Container-Path-Stat"] = stat
    fallback = (204, None) if operation in _DONE else _NOTHING.get(method, (200, {}))
    status, content = _ANSWERS.get(operation, fallback)
    body = b"" if content is None else json.dumps(content).encode() + b"\n"
    return status, {**headers, "Content-Type": "application/json"}, body
