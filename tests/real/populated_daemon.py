"""What attacks are aimed at: a dockerd with containers, volumes, networks, a swarm and a plugin."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.harness.client import Response, call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import prepare
from tests.harness.unixhttp import plugin_socket
from tests.harness.wire import exchange
from tests.real.attacks.row import JSON, Attack, archive, fill, plugin

EXPERIMENTAL: Final = {"experimental": True}
"""dockerd's settings: everything that it can do."""

_CREATED: Final = (
    "created",
    "created_b",
    *(f"form_{letter}" for letter in "abcde"),
    "start_a",
    "start_b",
)
_GATEWAY: Final = "docker_gwbridge"  # the swarm makes it when it gets round to it
_MIB_AND_MORE: Final = "x" * 1_200_000


@dataclass
class Scene:
    """A dockerd with what attacks are aimed at."""

    dockerd: Dockerd
    workspace: Path
    values: dict[str, str]

    def get(self, path: str) -> Response:
        """Ask dockerd for something."""
        return call(self.dockerd.socket, "GET", path)

    def send(self, attack: Attack) -> Response:
        """Send an attack; the answer."""
        values = self.values_for(attack)
        return exchange(self.dockerd.socket, attack.request.render(values))

    def values_for(self, attack: Attack) -> dict[str, str]:
        """What stands for ``<name>`` and the like in an attack."""
        short = hashlib.sha256(attack.what.encode()).hexdigest()[:8]
        return {**self.values, "name": attack.name, "short": short}

    def shows(self, attack: Attack, answer: Response) -> str:
        """Why nothing shows that an attack worked, or an empty text."""
        proof, values = attack.proof, self.values_for(attack)
        if answer.status >= http.HTTPStatus.BAD_REQUEST or not answer.status:
            return f"answered {answer.status} {answer.text[:300]}"
        seen = self.get(fill(proof.path, values)) if proof.path else answer
        if proof.gone:
            return "" if seen.status == http.HTTPStatus.NOT_FOUND else "it is still there"
        if seen.status >= http.HTTPStatus.BAD_REQUEST:
            return f"nothing there: {seen.status} {seen.text[:300]}"
        if not proof.at:
            return ""
        found = _at(json.loads(seen.text), proof.at)
        expected = _filled(proof.value, values)
        if found == expected or (proof.value is None and found is not None):
            return ""
        return f"{proof.at} is {found!r}, not {expected!r}"

    def refresh(self) -> None:
        """Look up what names and versions things have now."""
        node = self._json("/nodes")[0]
        service = self._json("/services/web")
        self.values |= {
            "node": node["ID"],
            "node_version": str(node["Version"]["Index"]),
            "service": service["ID"],
            "service_version": str(service["Version"]["Index"]),
            "swarm_version": str(self._json("/swarm")["Version"]["Index"]),
        }

    def inventory(self) -> dict[str, Any]:
        """Everything there is, in the words that attacks would change."""
        containers = self._json("/containers/json?all=1")
        return {
            "containers": {
                container["Id"]: _constant(self._json(f"/containers/{container['Id']}/json"))
                for container in containers
            },
            "volumes": sorted(v["Name"] for v in self._json("/volumes")["Volumes"] or []),
            "networks": sorted({n["Name"] for n in self._json("/networks")} - {_GATEWAY}),
            "images": sorted(tag for i in self._json("/images/json") for tag in i["RepoTags"]),
            "swarm": self._json("/swarm")["Spec"],
            "written": self.get("/containers/running/archive?path=/written.txt").status,
            **{
                kind: [(thing["ID"], thing["Spec"]) for thing in self._json(f"/{kind}")]
                for kind in ("nodes", "services", "secrets", "configs")
            },
            "plugins": [
                (plugin["Id"], plugin["Enabled"], plugin["Settings"])
                for plugin in self._json("/plugins")
            ],
        }

    def _json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status == http.HTTPStatus.OK, answer
        return json.loads(answer.text)

    def _make(self, path: str, body: Any) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else JSON.partition(": ")[2]
        answer = call(self.dockerd.socket, "POST", path, {"Content-Type": kind}, content)
        assert answer.status < http.HTTPStatus.BAD_REQUEST, (path, answer)
        return json.loads(answer.text or "{}")

    def populate(self) -> None:
        """Make what attacks are aimed at."""
        docker = self.dockerd.docker
        self.dockerd.import_image(changes=['CMD ["true"]'])
        docker("tag", IMAGE, "removable:1")
        docker("run", "--detach", "--name=running", "--stop-signal=KILL", IMAGE, "sleep", "9999")
        for name in _CREATED:
            docker("create", f"--name={name}", IMAGE, "true")
        docker("create", "--name=limited", "--memory=64m", IMAGE, "true")
        docker("create", "--name=hostly", "--volume=/etc:/h", IMAGE, "true")
        docker("create", "--name=mine", "--link=running:aka", IMAGE, "true")
        docker("run", "--detach", "--name=shareable", "--ipc=shareable", IMAGE, "sleep", "9999")
        docker("volume", "create", "shared")
        docker("volume", "create", "removable")
        docker("network", "create", "--subnet=172.30.0.0/16", "app-net")
        docker("network", "create", "--config-only", "config-net")
        self._make("/plugins/create?name=guardian", plugin("guardian"))
        self._join_itself()
        for name in ("running", "shareable", "hostly"):
            self.values[name] = self._json(f"/containers/{name}/json")["Id"]
        self.values["hostly_prefix"] = self.values["hostly"][:12]
        self.values["host_net"] = self._json("/networks/host")["Id"]
        self.values["exec"] = self._make("/containers/running/exec", {"Cmd": ["true"]})["Id"]
        self.refresh()

    def _join_itself(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._make("/swarm/init", {"ListenAddr": f"127.0.0.1:{port}", "AdvertiseAddr": "127.0.0.1"})
        nowhere = {"Constraints": ["node.labels.none==here"]}
        task = {"ContainerSpec": {"Image": IMAGE}, "Placement": nowhere}
        self._make("/services/create", {"Name": "web", "TaskTemplate": task})
        self._make("/secrets/create", {"Name": "hidden", "Data": "eA=="})
        self._make("/configs/create", {"Name": "conf", "Data": "eA=="})


@contextmanager
def populated_daemon(engine: str, folder: Path) -> Iterator[Scene]:
    """A scene on a scratch dockerd that asks nobody yet; files lie in a folder."""
    workspace, served = folder / "workspace", folder / "served"
    workspace.mkdir()
    served.mkdir()
    (workspace / "link").symlink_to("/etc")
    (served / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    (served / "image.tar").write_bytes(archive({"evil": "x"}))
    driver = f"opa-authz-driver-{os.getpid()}"
    with (
        _web_server(served) as url,
        plugin_socket(Path(f"/run/docker/plugins/{driver}.sock"), _Driver()),
        scratch_dockerd(prepare(engine), EXPERIMENTAL) as dockerd,
    ):
        values = {"workspace": str(workspace), "url": url, "mib": _MIB_AND_MORE, "driver": driver}
        scene = Scene(dockerd, workspace, values)
        scene.populate()
        yield scene


class _Driver:
    """A driver of volumes and of secrets that agrees to everything."""

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


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _web_server(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _constant(container: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("Name", "Config", "HostConfig", "Mounts")
    state = container["State"]["Status"]
    networks = {
        name: (network["Aliases"], network["DriverOpts"])
        for name, network in container["NetworkSettings"]["Networks"].items()
    }
    return {key: container[key] for key in kept} | {"state": state, "networks": networks}


def _at(document: Any, place: str) -> Any:
    """What stands at ``HostConfig.Binds.0``, or None; a key may hold dots of its own."""
    if not place:
        return document
    if isinstance(document, list):
        head, _, rest = place.partition(".")
        return _at(document[int(head)], rest) if int(head) < len(document) else None
    if isinstance(document, dict):
        for key, value in document.items():
            if place == key or place.startswith(f"{key}."):
                return _at(value, place[len(key) + 1 :])
    return None


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case str():
            return fill(value, values)
        case dict():
            return {key: _filled(item, values) for key, item in value.items()}
        case list():
            return [_filled(item, values) for item in value]
    return value
