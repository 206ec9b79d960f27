"""Names, ids and filters on real daemons: their effect without a guard, and their denial."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from authz_plugin.tools.attack.verdict import read_answer
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import prepare
from tests.harness.guarding import asking
from tests.harness.plugin import Plugin, running_plugin
from tests.real.conftest import TESTED

_DETACHED: Final = ("--detach", "--stop-signal=KILL")
_SLEEPS: Final = (IMAGE, "sleep", "9999")


@dataclass(frozen=True)
class Daemon:
    """A dockerd with a container, two networks and a swarm, and a plugin that it can ask."""

    dockerd: Dockerd
    plugin: Plugin
    name: str
    config: Path

    def send(self, method: str, path: str, body: Any = None) -> Reply:
        endpoint = Endpoint(f"unix://{self.dockerd.socket}", unix=self.dockerd.socket)
        return exchange(endpoint, _request(method, path, body))

    def get(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status == 200, answer
        return answer.json()

    def make(self, path: str, body: Any = None) -> Any:
        answer = self.send("POST", path, body)
        assert answer.status < 300, answer
        return json.loads(answer.body or "{}")

    def is_denied(self, rule: str, method: str, path: str, body: Any = None) -> str:
        """Send a request and assert that a rule denies it; return the message."""
        reply = self.send(method, path, body)
        answer = read_answer(_request(method, path, body), reply)
        assert answer.kind == "denied", reply
        assert rule in answer.rules, reply
        return reply.message

    @contextmanager
    def guarded(self, config: str) -> Iterator[None]:
        """Have the plugin take over a configuration and the daemon ask it."""
        self.config.write_text(config)
        self.plugin.reload()
        assert "is not taken over" not in self.plugin.log
        with asking(self.dockerd, self.name):
            yield


def _request(method: str, path: str, body: Any) -> Request:
    return Request(method, path) if body is None else Request.of_json(method, path, body)


_VARIABLES_OF_LINKS: Final = {"DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS": "1"}
"""For engines from 29 on, which set no variables for links otherwise."""


@pytest.fixture(scope="module", params=TESTED)
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    engine = prepare(request.param)
    environment = engine.environment | _VARIABLES_OF_LINKS
    folder, name = tmp_path_factory.mktemp("names"), f"opa-authz-{os.getpid()}-names"
    config, socket_ = folder / "config.yaml", Path(f"/run/docker/plugins/{name}.sock")
    config.write_text("profile: devcontainer\n")
    with (
        scratch_dockerd(replace(engine, environment=environment)) as dockerd,
        running_plugin(
            folder, f"--config={config}", socket_=socket_, data_root=dockerd.data_root
        ) as plugin,
    ):
        made = Daemon(dockerd, plugin, name, config)
        dockerd.import_image()
        dockerd.docker("tag", IMAGE, "allowed:1")
        dockerd.docker("tag", IMAGE, "other:1")
        for network in ("app-net", "app-two"):
            dockerd.docker("network", "create", network)
        dockerd.docker("run", *_DETACHED, "--name=neighbour", "--env=WORD=neighbours", *_SLEEPS)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        swarm = {"ListenAddr": f"127.0.0.1:{port}", "AdvertiseAddr": "127.0.0.1"}
        made.make("/swarm/init", swarm)
        for tenant in ("blue", "red"):
            secret = {"Name": f"{tenant}-key", "Labels": {"tenant": tenant}, "Data": "eA=="}
            made.make("/secrets/create", secret)
        yield made


def _linked(daemon: Daemon, name: str) -> Reply:
    host = {"Links": ["neighbour:db"]}
    body = {"Image": IMAGE, "Cmd": ["sleep", "9999"], "NetworkDisabled": True, "HostConfig": host}
    return daemon.send("POST", f"/containers/create?name={name}", body)


def test_a_link_that_is_asleep_comes_to_life_at_a_connect(daemon: Daemon) -> None:
    assert _linked(daemon, "asleep").status == 201
    daemon.make("/networks/bridge/connect", {"Container": "asleep"})
    daemon.make("/containers/asleep/start")
    environment = daemon.dockerd.docker("exec", "asleep", "busybox", "env").stdout
    assert "DB_ENV_WORD=neighbours" in environment
    daemon.dockerd.docker("rm", "--force", "asleep")


def test_a_link_is_denied_whether_networking_is_disabled_or_not(daemon: Daemon) -> None:
    with daemon.guarded("profile: devcontainer\n"):
        answer = _linked(daemon, "denied")
        assert answer.status == 403
        assert "[networks.link" in answer.message
        host = {"Image": IMAGE, "NetworkDisabled": True, "MacAddress": "02:42:ac:11:00:98"}
        daemon.is_denied("networks.mac-address", "POST", "/containers/create", host)
    tenant = "profile: devcontainer\nnetworks: {links: true}\ntenancy: {names: ['blue-*']}\n"
    with daemon.guarded(tenant):
        answer = _linked(daemon, "blue-linked")
        assert answer.status == 403
        assert "container neighbour is not this tenant's" in answer.message


def _ways_to(network: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests that have a container join a network, by whatever it is called."""
    create, image = "/containers/create", {"Image": IMAGE, "Cmd": ["sleep", "9999"]}
    ends: dict[str, Any]
    yield create, {**image, "HostConfig": {"NetworkMode": network}}
    ends = {"EndpointsConfig": {network: {}}}
    yield create, {**image, "HostConfig": {"NetworkMode": network}, "NetworkingConfig": ends}
    ends = {"EndpointsConfig": {"app-net": {"NetworkID": network}}}
    yield create, {**image, "HostConfig": {"NetworkMode": "app-net"}, "NetworkingConfig": ends}
    yield f"/networks/{network}/connect", {"Container": "blue-off"}
    config = {"NetworkID": network}
    yield "/networks/app-two/connect", {"Container": "blue-off", "EndpointConfig": config}


def test_the_default_bridge_is_denied_by_its_name_and_by_what_may_be_its_id(daemon: Daemon) -> None:
    id_ = daemon.get("/networks/bridge")["Id"]
    for number, (path, body) in enumerate(_ways_to(id_[:9])):
        daemon.dockerd.docker("run", *_DETACHED, "--name=blue-off", "--network=app-net", *_SLEEPS)
        joined = "blue-off"
        if path.endswith("create"):
            joined = f"by-id-{number}"
        daemon.make(path if joined == "blue-off" else f"{path}?name={joined}", body)
        if joined != "blue-off":
            daemon.make(f"/containers/{joined}/start")
        networks = daemon.get(f"/containers/{joined}/json")["NetworkSettings"]["Networks"]
        assert id_ in {network["NetworkID"] for network in networks.values()}, (path, body)
        daemon.dockerd.docker("rm", "--force", *{joined, "blue-off"})
    with daemon.guarded("profile: devcontainer\nnetworks: {default_bridge: false}\n"):
        for text in (id_, id_[:12], id_[:1]):
            for path, body in _ways_to(text):
                daemon.is_denied("networks.default-bridge", "POST", path, body)
        assert daemon.send("POST", *next(_ways_to("app-net"))).status == 201
    with daemon.guarded("profile: devcontainer\nnetworks: {join: [app-net, app-two]}\n"):
        for path, body in _ways_to(id_[:9]):
            daemon.is_denied("networks.join", "POST", path, body)


def test_an_image_that_is_mounted_is_judged_as_one_that_runs(daemon: Daemon) -> None:
    def body(source: str) -> dict[str, Any]:
        mount = {"Type": "image", "Source": source, "Target": "/m"}
        return {"Image": "allowed:1", "Cmd": ["true"], "HostConfig": {"Mounts": [mount]}}

    engine = daemon.get("/version")["Version"]
    id_ = daemon.get("/images/other:1/json")["Id"]
    mounts_images = not engine.startswith("20.10")
    for source in ("other:1", id_):
        answer = daemon.send("POST", "/containers/create", body(source))
        assert answer.status == (201 if mounts_images else 400), answer
    config = "profile: devcontainer\nimages: {allow: ['docker.io/library/allowed:*'], ids: false}\n"
    with daemon.guarded(config):
        for source in ("other:1", id_, id_.partition(":")[2][:12]):
            daemon.is_denied("images.source", "POST", "/containers/create", body(source))
        answer = daemon.send("POST", "/containers/create", body("allowed:1"))
        assert answer.status == (201 if mounts_images else 400), answer


_SWARM: Final = """\
profile: devcontainer
sections: {secrets: write, services: write, configs: write}
tenancy: {names: ["blue-*"]%s}
"""


def test_a_list_with_two_values_for_the_tenants_label_shows_anothers_and_is_denied(
    daemon: Daemon,
) -> None:
    def listed(labels: Any, path: str = "secrets") -> str:
        return f"/{path}?filters={quote(json.dumps({'label': labels}))}"

    two = (
        ["tenant=blue", "tenant=red"],
        {"tenant=blue": True, "tenant=red": False},
        ["tenant=blue", "tenant"],
    )
    for labels in two:
        seen = {secret["Spec"]["Name"] for _ in range(60) for secret in daemon.get(listed(labels))}
        assert "red-key" in seen, labels
    with daemon.guarded(_SWARM % ", labels: {tenant: blue}"):
        for labels in two:
            daemon.is_denied("tenancy.filter", "GET", listed(labels))
            for path in ("configs", "services", "networks", "containers/json", "events"):
                daemon.is_denied("tenancy.filter", "GET", listed(labels, path))
        found = daemon.get(listed(["tenant=blue"]))
        assert [secret["Spec"]["Name"] for secret in found] == ["blue-key"]


def test_a_tenant_uses_services_and_secrets_with_the_docker_cli(daemon: Daemon) -> None:
    docker = daemon.dockerd.docker
    common = ("--detach", "--no-resolve-image")
    with daemon.guarded(_SWARM % ""):
        nowhere = "--constraint=node.labels.none==here"
        options = ("--name=blue-web", "--secret=blue-key", nowhere)
        docker("service", "create", *common, *options, IMAGE, "sleep", "9999")
        done = docker("service", "update", *common, "--env-add=A=b", "blue-web", check=False)
        assert done.returncode == 0, done.stderr
        service = daemon.get("/services/blue-web")
        spec = service["Spec"]["TaskTemplate"]["ContainerSpec"]
        assert spec["Env"] == ["A=b"]
        assert spec["Secrets"][0]["SecretName"] == "blue-key"
        denied = docker(
            "service", "update", *common, "--secret-add=red-key", "blue-web", check=False
        )
        assert "[tenancy.name" in denied.stderr
        daemon.is_denied("tenancy.name", "GET", f"/services/{service['ID'][:20]}")
        docker("service", "rm", "blue-web")


def test_a_list_that_begins_at_anothers_container_is_denied(daemon: Daemon) -> None:
    label = ["tenant=blue"]
    there, missing = (
        f"/containers/json?filters={quote(json.dumps({'since': [name], 'label': label}))}"
        for name in ("neighbour", "nobody")
    )
    assert daemon.send("GET", there).status != daemon.send("GET", missing).status
    with daemon.guarded(_SWARM % ", labels: {tenant: blue}"):
        daemon.is_denied("tenancy.name", "GET", there)
        daemon.is_denied("tenancy.name", "GET", missing)
