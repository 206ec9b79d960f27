"""A dockerd with the objects that the attacks of the tests name."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import archive
from authz_plugin.tools.attack.execution import Execution, execute
from authz_plugin.tools.attack.rendering import AttackContext
from authz_plugin.tools.docker_client import Endpoint
from tests.harness.client import Response, call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import prepare
from tests.harness.unixhttp import plugin_socket
from tests.real.attacks.model import AttackCase, plugin

EXPERIMENTAL: Final = {"experimental": True}
"""The daemon.json of a daemon with every feature."""

_CREATED: Final = (
    "created",
    "created_b",
    *(f"form_{letter}" for letter in "abcde"),
    "start_a",
    "start_b",
)
_DETACHED: Final = ("--detach", "--stop-signal=KILL")
"""Options of a container that dockerd can stop at once: ``sleep`` ignores SIGTERM as process 1."""
_SLEEPS: Final = (IMAGE, "sleep", "9999")
_HARMLESS_CONTAINER: Final = {"Image": IMAGE, "HostConfig": {}}


@dataclass
class PopulatedDaemon:
    """A dockerd with objects; ``values`` are those of placeholders in attacks."""

    dockerd: Dockerd
    workspace: Path
    values: dict[str, str]

    def get(self, path: str) -> Response:
        """Send a GET request."""
        return call(self.dockerd.socket, "GET", path)

    def execute(self, attack: AttackCase) -> Execution[AttackCase]:
        """Send an attack and judge it.

        It is repeated while it fails because the swarm has changed an object's version since
        ``refresh``.
        """
        path = self.dockerd.socket
        endpoint = Endpoint(f"unix://{path}", unix=path)
        execution = execute(endpoint, attack, self._context(attack))
        while "update out of sequence" in execution.answer.text:
            self.refresh()
            execution = execute(endpoint, attack, self._context(attack))
        return execution

    def _context(self, attack: AttackCase) -> AttackContext:
        short = hashlib.sha256(attack.title.encode()).hexdigest()[:8]
        values = {**self.values, "name": attack.name, "short": short}
        return AttackContext(values, _HARMLESS_CONTAINER, attack.success_errors)

    def refresh(self) -> None:
        """Look up the current ids and versions of the objects of the swarm."""
        node = self._json("/nodes")[0]
        service = self._json("/services/web")
        self.values |= {
            "node": node["ID"],
            "node_version": str(node["Version"]["Index"]),
            "service": service["ID"],
            "service_version": str(service["Version"]["Index"]),
            "swarm_version": str(self._json("/swarm")["Version"]["Index"]),
        }

    def _json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status == http.HTTPStatus.OK, answer
        return json.loads(answer.text)

    def _create(self, path: str, body: Any) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        answer = call(self.dockerd.socket, "POST", path, {"Content-Type": kind}, content)
        assert answer.status < http.HTTPStatus.BAD_REQUEST, (path, answer)
        return json.loads(answer.text or "{}")

    def populate(self) -> None:
        """Create the objects that attacks name."""
        docker = self.dockerd.docker
        self.dockerd.import_image(changes=['CMD ["true"]'])
        docker("tag", IMAGE, "removable:1")
        docker("run", *_DETACHED, "--name=running", *_SLEEPS)
        for name in _CREATED:
            self._create(f"/containers/create?name={name}", {"Image": IMAGE, "Cmd": ["true"]})
        docker("create", "--name=limited", "--memory=64m", IMAGE, "true")
        docker("create", "--name=hostly", "--volume=/etc:/h", IMAGE, "true")
        docker("create", "--name=mine", "--link=running:aka", IMAGE, "true")
        docker("run", *_DETACHED, "--name=shareable", "--ipc=shareable", *_SLEEPS)
        for name in ("shared", "removable"):
            self._create("/volumes/create", {"Name": name})
        docker("network", "create", "--subnet=172.30.0.0/16", "app-net")
        docker("network", "create", "--config-only", "config-net")
        self._create("/plugins/create?name=guardian", plugin("guardian"))
        self._create_swarm()
        for name in ("running", "shareable", "hostly"):
            self.values[name] = self._json(f"/containers/{name}/json")["Id"]
        self.values["hostly_prefix"] = self.values["hostly"][:12]
        self.values["host_net"] = self._json("/networks/host")["Id"]
        self.values["exec"] = self._create("/containers/running/exec", {"Cmd": ["true"]})["Id"]
        self.refresh()

    def _create_swarm(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._create(
            "/swarm/init", {"ListenAddr": f"127.0.0.1:{port}", "AdvertiseAddr": "127.0.0.1"}
        )
        nowhere = {"Constraints": ["node.labels.none==here"]}
        task = {"ContainerSpec": {"Image": IMAGE}, "Placement": nowhere}
        self._create("/services/create", {"Name": "web", "TaskTemplate": task})
        self._create("/secrets/create", {"Name": "hidden", "Data": "eA=="})
        self._create("/configs/create", {"Name": "conf", "Data": "eA=="})


@contextmanager
def populated_daemon(engine: str, folder: Path) -> Iterator[PopulatedDaemon]:
    """Start a dockerd without plugins and create the objects; files are written to ``folder``."""
    workspace, served = folder / "workspace", folder / "served"
    workspace.mkdir()
    served.mkdir()
    (workspace / "link").symlink_to("/etc")
    (served / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    (served / "image.tar").write_bytes(archive({"evil": "x"}))
    driver = f"opa-authz-driver-{os.getpid()}"
    with (
        _web_server(served) as url,
        plugin_socket(Path(f"/run/docker/plugins/{driver}.sock"), _AcceptingDriver()),
        scratch_dockerd(prepare(engine), EXPERIMENTAL) as dockerd,
    ):
        values = {"workspace": str(workspace), "url": url, "driver": driver}
        daemon = PopulatedDaemon(dockerd, workspace, values)
        daemon.populate()
        yield daemon


class _AcceptingDriver:
    """A volume driver and secret provider that accepts every request."""

    def __init__(self) -> None:
        self._volumes: set[str] = set()

    def __call__(self, path: str, message: bytes) -> bytes:
        if path == "/Plugin.Activate":
            return b'{"Implements": ["VolumeDriver", "secretprovider"]}'
        name = str(json.loads(message).get("Name")) if message else ""
        if path == "/VolumeDriver.Create":
            self._volumes.add(name)
        if path == "/VolumeDriver.Get":
            found = {"Volume": {"Name": name}} if name in self._volumes else {"Err": "none"}
            return json.dumps(found).encode()
        return b"{}"


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _web_server(folder: Path) -> Iterator[str]:
    handler = functools.partial(_SilentHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
