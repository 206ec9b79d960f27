"""``python -m tools.policy_data``: write the data that the tests of policies read.

``data.docker.authz.examples`` holds input documents of ordinary requests. The plugin's own code
makes each from a request as a client sends it, so that a rule is tested with the document that it
gets in production. ``data.docker.authz.profiles`` holds the shipped profiles, complete.

Both files are made from the source, so they are not in git: ``make`` writes them where they are
missing or out of date, and the build of a wheel writes them (``tools/build_hook.py``). This module
therefore imports nothing but the plugin and what the plugin depends on.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.configuration import ROOT, complete_profile, profiles
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import PlainHostPaths

_JSON: Final = {"content-type": "application/json"}
_EMPTY: Final = {"content-length": "0", "content-type": "text/plain"}
_TAR: Final = {"content-type": "application/x-tar"}

_CONTAINER: Final[dict[str, Any]] = {
    "Image": "registry.example/app:1",
    "Cmd": ["serve"],
    "HostConfig": {"NetworkMode": "default", "RestartPolicy": {"Name": "no"}},
    "NetworkingConfig": {"EndpointsConfig": {}},
}
_SERVICE: Final[dict[str, Any]] = {
    "Name": "web",
    "TaskTemplate": {"ContainerSpec": {"Image": "registry.example/app:1"}},
    "Mode": {"Replicated": {"Replicas": 1}},
}

REQUESTS: Final[dict[str, tuple[str, str, dict[str, str], Any]]] = {
    "container_list": ("GET", "/v1.44/containers/json?all=1", {}, None),
    "container_create": ("POST", "/v1.44/containers/create?name=web", _JSON, _CONTAINER),
    "container_create_bind": (
        "POST",
        "/v1.44/containers/create",
        _JSON,
        {**_CONTAINER, "HostConfig": {"Binds": ["/workspace/data:/data"]}},
    ),
    "container_create_volume": (
        "POST",
        "/v1.44/containers/create",
        _JSON,
        {**_CONTAINER, "HostConfig": {"Binds": ["data:/data"]}},
    ),
    "container_create_tmpfs": (
        "POST",
        "/v1.44/containers/create",
        _JSON,
        {**_CONTAINER, "HostConfig": {"Tmpfs": {"/tmp": "size=64m"}}},
    ),
    "container_create_anonymous_volume": (
        "POST",
        "/v1.44/containers/create",
        _JSON,
        {**_CONTAINER, "Volumes": {"/data": {}}},
    ),
    "container_start": ("POST", "/v1.44/containers/web/start", _EMPTY, None),
    "container_remove": ("DELETE", "/v1.44/containers/web?force=1", {}, None),
    "exec_create": ("POST", "/v1.44/containers/web/exec", _JSON, {"Cmd": ["sh"], "Tty": True}),
    "image_pull": ("POST", "/v1.44/images/create?fromImage=alpine&tag=3", _EMPTY, None),
    "image_build": ("POST", "/v1.44/build?t=app&networkmode=default", _TAR, None),
    "volume_create": ("POST", "/v1.44/volumes/create", _JSON, {"Name": "data"}),
    "volume_create_bind": (
        "POST",
        "/v1.44/volumes/create",
        _JSON,
        {"Name": "data", "DriverOpts": {"type": "none", "o": "bind", "device": "/workspace/data"}},
    ),
    "container_create_full": (
        "POST",
        "/v1.44/containers/create?name=web",
        _JSON,
        {
            **_CONTAINER,
            "User": "1000",
            "Labels": {"team": "blue"},
            "Healthcheck": {"Test": ["CMD", "true"]},
            "HostConfig": {
                "NetworkMode": "front",
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Memory": 1 << 28,
                "NanoCpus": 500_000_000,
                "PidsLimit": 100,
                "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}],
                "Tmpfs": {"/tmp": "noexec,size=64m"},
                "Sysctls": {"net.ipv4.tcp_syncookies": "1"},
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
                "ExtraHosts": ["db:10.0.0.5"],
                "Binds": ["data:/data"],
            },
            "NetworkingConfig": {"EndpointsConfig": {"front": {"Aliases": ["web"]}}},
        },
    ),
    "container_update": ("POST", "/v1.44/containers/web/update", _JSON, {"Memory": 1 << 28}),
    "container_top": ("GET", "/v1.44/containers/web/top?ps_args=-ef", {}, None),
    "container_list_filtered": (
        "GET",
        "/v1.44/containers/json?filters=%7B%22label%22%3A%5B%22tenant%3Dblue%22%5D%7D",
        {},
        None,
    ),
    "container_commit": ("POST", "/v1.44/commit?container=web&repo=app&tag=2", _JSON, {}),
    "image_push": ("POST", "/v1.44/images/registry.example/app/push?tag=1", _EMPTY, None),
    "image_tag": ("POST", "/v1.44/images/app/tag?repo=registry.example/app&tag=1", _EMPTY, None),
    "image_import": ("POST", "/v1.44/images/create?fromSrc=-&repo=app", _TAR, None),
    "image_search": ("GET", "/v1.44/images/search?term=alpine", {}, None),
    "distribution_inspect": ("GET", "/v1.44/distribution/registry.example/app:1/json", {}, None),
    "network_create": (
        "POST",
        "/v1.44/networks/create",
        _JSON,
        {"Name": "front", "Driver": "bridge", "Labels": {"team": "blue"}},
    ),
    "network_connect": (
        "POST",
        "/v1.44/networks/front/connect",
        _JSON,
        {"Container": "web", "EndpointConfig": {}},
    ),
    "service_create": ("POST", "/v1.44/services/create", _JSON, _SERVICE),
    "service_update": ("POST", "/v1.44/services/web/update?version=1", _JSON, _SERVICE),
    "service_create_plugin": (
        "POST",
        "/v1.44/services/create",
        _JSON,
        {
            "Name": "driver",
            "TaskTemplate": {
                "Runtime": "plugin",
                "PluginSpec": {
                    "name": "driver",
                    "remote": "registry.example/driver:1",
                    "privileges": [{"name": "network", "value": ["host"]}],
                },
            },
        },
    ),
    "secret_create": ("POST", "/v1.44/secrets/create", _JSON, {"Name": "key", "Data": "eA=="}),
    "plugin_set": ("POST", "/v1.44/plugins/driver/set", _JSON, ["data.source=/srv/data"]),
    "swarm_init": ("POST", "/v1.44/swarm/init", _JSON, {"ListenAddr": "0.0.0.0:2377"}),
    "swarm_update": ("POST", "/v1.44/swarm/update?version=1", _JSON, {"Name": "default"}),
    "swarm_join": ("POST", "/v1.44/swarm/join", _JSON, {"RemoteAddrs": ["manager:2377"]}),
    "node_update": ("POST", "/v1.44/nodes/n1/update?version=1", _JSON, {"Role": "worker"}),
    "plugin_disable": ("POST", "/v1.44/plugins/driver/disable", _EMPTY, None),
    "plugin_create": ("POST", "/v1.44/plugins/create?name=driver", _TAR, None),
    "plugin_pull": (
        "POST",
        "/v1.44/plugins/pull?remote=registry.example/driver:1",
        _JSON,
        [{"Name": "network", "Value": ["host"]}],
    ),
    "disk_usage": ("GET", "/v1.44/system/df", {}, None),
    "ping": ("GET", "/_ping", {}, None),
}


def examples() -> dict[str, Any]:
    """Return ``data.docker.authz.examples``: an input document by request name."""
    return {name: _document(*request) for name, request in REQUESTS.items()}


def complete_profiles() -> dict[str, Any]:
    """Return ``data.docker.authz.profiles``: the complete configuration of each shipped profile."""
    return {name: complete_profile(name, PlainHostPaths()) for name in profiles()}


def paths(policies: Path) -> list[Path]:
    """Return the paths of the data files below the folder ``policies``."""
    return [policies / ROOT / name / "data.json" for name in ("examples", "profiles")]


def files(policies: Path) -> dict[Path, str]:
    """Return the data files below the folder ``policies``, with the text of each."""
    content = (examples(), complete_profiles())
    texts = (json.dumps(data, indent=1) + "\n" for data in content)
    return dict(zip(paths(policies), texts, strict=True))


def write(policies: Path) -> None:
    """Write the data files below the folder ``policies``."""
    for file, text in files(policies).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def _document(method: str, uri: str, headers: dict[str, str], body: Any) -> dict[str, Any]:
    content = b"" if body is None else json.dumps(body).encode()
    request = dockerd.read(method, uri, headers, content)
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    document = input_document(
        request, Caller("", "", ()), PlainHostPaths(), now, UnseenEngineState()
    )
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain


if __name__ == "__main__":
    write(Path(__file__).parents[1] / "policies")
