"""What a daemon holds: taken before and after requests, to prove that they changed nothing."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from typing import Any, Final

from tests.harness.client import call
from tests.harness.dockerd import Dockerd

_STORED: Final = ("containers", "image/vfs/imagedb/content/sha256", "volumes", "network/files")
_GATEWAY: Final = "docker_gwbridge"
"""A network that dockerd creates some time after it has created a swarm."""


def take_inventory(dockerd: Dockerd) -> dict[str, Any]:
    """Return everything that a daemon holds, in terms that a request would change.

    It is read from the data folder and from the API. Where the API refuses a GET request, because
    a plugin denies it or because there is no swarm, the HTTP status stands for the answer.
    """
    return {"stored": take_stored_inventory(dockerd), **_api_inventory(dockerd)}


def take_stored_inventory(dockerd: Dockerd) -> dict[str, list[str]]:
    """Return the names of what a daemon stores in its data folder, without a request to it."""
    data = dockerd.data_root
    return {folder: sorted(path.name for path in (data / folder).glob("*")) for folder in _STORED}


def _api_inventory(dockerd: Dockerd) -> dict[str, Any]:
    def get(path: str) -> Any:
        answer = call(dockerd.socket, "GET", path)
        return json.loads(answer.text) if answer.status == http.HTTPStatus.OK else answer.status

    containers, volumes, networks = get("/containers/json?all=1"), get("/volumes"), get("/networks")
    return {
        "containers": {
            container["Id"]: (
                _without_times(get(f"/containers/{container['Id']}/json")),
                get(f"/containers/{container['Id']}/changes"),
            )
            for container in _listed(containers)
        },
        "volumes": sorted(volume["Name"] for volume in _listed(_member(volumes, "Volumes"))),
        "networks": sorted({network["Name"] for network in _listed(networks)} - {_GATEWAY}),
        "images": sorted(
            tag for image in _listed(get("/images/json")) for tag in image["RepoTags"] or []
        ),
        "swarm": _member(get("/swarm"), "Spec"),
        **{
            kind: [(object_["ID"], object_["Spec"]) for object_ in _listed(get(f"/{kind}"))]
            for kind in ("nodes", "services", "secrets", "configs")
        },
        "plugins": [
            (plugin["Id"], plugin["Enabled"], plugin["Settings"])
            for plugin in _listed(get("/plugins"))
        ],
    }


def _listed(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else []


def _member(answer: Any, key: str) -> Any:
    return answer[key] if isinstance(answer, dict) else answer


def _without_times(container: Any) -> Any:
    """Return the members of an inspect answer that only a request changes."""
    if not isinstance(container, Mapping):
        return container
    networks = {
        name: (network["Aliases"], network["DriverOpts"])
        for name, network in container["NetworkSettings"]["Networks"].items()
    }
    kept = {key: container[key] for key in ("Name", "Config", "HostConfig", "Mounts")}
    return {**kept, "state": container["State"]["Status"], "networks": networks}
