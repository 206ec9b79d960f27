"""The plugin takes a body for what dockerd makes of it, whatever the API version in the path is."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from authz_plugin import dockerd as plugin
from tests.harness.client import call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, OLDEST, prepare

JSON: Final = {"content-type": "application/json"}
SERVICE: Final[dict[str, Any]] = {
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": IMAGE,
            "Privileges": {"NoNewPrivileges": True},
            "CapabilityDrop": ["ALL"],
        },
        "Resources": {"Limits": {"Pids": 100}},
    },
    "Mode": {"Replicated": {"Replicas": 0}},
}


Start = Callable[[str], Dockerd]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts the daemon of an engine when it is first asked for."""
    with ExitStack() as cleanup:

        @functools.cache
        def started(engine: str) -> Dockerd:
            daemon = cleanup.enter_context(scratch_dockerd(prepare(engine)))
            daemon.import_image()
            address = f"127.0.0.1:{daemon.engine.port + 2}"
            swarm = {"ListenAddr": address, "AdvertiseAddr": "127.0.0.1"}
            _post(daemon, "/swarm/init", swarm)
            return daemon

        yield started


@pytest.fixture
def daemon(request: pytest.FixtureRequest, start: Start) -> Dockerd:
    return start(request.param)


@pytest.mark.parametrize(
    ("daemon", "version"),
    [
        *((OLDEST, version) for version in ("1.40", "1.41", None)),
        *((NEWEST, version) for version in ("1.40", "1.41", "1.43", "1.44", None)),
    ],
    indirect=["daemon"],
)
def test_a_service_has_what_the_plugin_reads(daemon: Dockerd, version: str | None) -> None:
    target = f"{_prefix(version)}/services/create"
    body = {**SERVICE, "Name": f"v{version}".replace(".", "-")}
    read = plugin.read("POST", target, JSON, json.dumps(body).encode()).body["TaskTemplate"]
    id_ = _post(daemon, target, body)["ID"]
    kept = json.loads(call(daemon.socket, "GET", f"/services/{id_}").text)["Spec"]["TaskTemplate"]
    spec, limits = kept["ContainerSpec"], kept["Resources"].get("Limits") or {}
    assert (spec.get("CapabilityDrop") or []) == read["ContainerSpec"]["CapabilityDrop"]
    assert limits.get("Pids", 0) == read["Resources"]["Limits"]["Pids"]
    if daemon.engine.name == NEWEST:  # the oldest does not have the field
        privileges = spec["Privileges"]["NoNewPrivileges"]
        assert privileges is read["ContainerSpec"]["Privileges"]["NoNewPrivileges"]


@pytest.mark.parametrize(
    ("daemon", "version"),
    [
        *((OLDEST, version) for version in ("1.39", "1.40", None)),
        *((NEWEST, version) for version in ("1.40", None)),
    ],
    indirect=["daemon"],
)
def test_a_bind_is_as_recursive_as_the_plugin_reads(
    daemon: Dockerd, version: str | None, tmp_path: Path
) -> None:
    target = f"{_prefix(version)}/containers/create"
    options = {"NonRecursive": True}
    bind = {"Type": "bind", "Source": str(tmp_path), "Target": "/b", "BindOptions": options}
    body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"Mounts": [bind]}}
    (mount,) = plugin.read("POST", target, JSON, json.dumps(body).encode()).mounts
    id_ = _post(daemon, target, body)["Id"]
    kept = json.loads(call(daemon.socket, "GET", f"/containers/{id_}/json").text)
    (stored,) = kept["HostConfig"]["Mounts"]
    assert stored["BindOptions"].get("NonRecursive", False) is not mount.recursive


def _prefix(version: str | None) -> str:
    return "" if version is None else f"/v{version}"


def _post(daemon: Dockerd, path: str, body: Any) -> Any:
    answer = call(daemon.socket, "POST", path, JSON, json.dumps(body).encode())
    assert answer.status in {200, 201}, answer.text
    return json.loads(answer.text)
