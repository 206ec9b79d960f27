"""The requests of the clients that have a preset, one of each kind that a client sends.

The tests have each preset decide on its client's requests, and an import says which of them the
imported configuration denies. docs/reference/clients.md names the sources.
"""

from __future__ import annotations

from typing import Any, Final

Request = tuple[str, str, Any]
"""Method, target without an API version, and body: a JSON value, an archive as bytes, or None."""


def create(host_config: dict[str, Any] | None = None, **config: Any) -> Request:
    """Return a request to create a container, with fields of HostConfig and of the body."""
    body = {"Image": "registry.example/app:1", "HostConfig": host_config or {}, **config}
    return ("POST", "/containers/create?name=web", body)


LIST: Final = ("GET", "/containers/json", None)
INSPECT: Final = ("GET", "/containers/web/json", None)
EVENTS: Final = ("GET", "/events", None)
VERSION: Final = ("GET", "/version", None)
PING: Final = ("HEAD", "/_ping", None)
INFO: Final = ("GET", "/info", None)
LOGS: Final = ("GET", "/containers/web/logs?stdout=1", None)
STATS: Final = ("GET", "/containers/web/stats", None)
IMAGES: Final = ("GET", "/images/json", None)
IMAGE: Final = ("GET", "/images/app/json", None)
PULL: Final = ("POST", "/images/create?fromImage=app&tag=1", None)
NETWORKS: Final = ("GET", "/networks", None)
VOLUMES: Final = ("GET", "/volumes", None)
REMOVE: Final = ("DELETE", "/containers/web?force=1&v=1", None)
EXEC: Final = ("POST", "/containers/web/exec", {"Cmd": ["true"]})
EXEC_START: Final[Request] = ("POST", f"/exec/{'0' * 64}/start", {})
EXEC_INSPECT: Final = ("GET", f"/exec/{'0' * 64}/json", None)
ATTACH: Final = ("POST", "/containers/web/attach?stream=1", None)


def act(verb: str) -> Request:
    """Return a request for an action on a container."""
    return ("POST", f"/containers/web/{verb}", None)


LIFE: Final = [create(), act("start"), act("stop"), act("kill"), act("wait"), REMOVE]
JOIN: Final = [
    ("POST", "/networks/front/connect", {"Container": "web"}),
    ("POST", "/networks/front/disconnect", {"Container": "web"}),
]
NETWORK: Final = [("POST", "/networks/create", {"Name": "front"}), ("DELETE", "/networks/x", None)]
VOLUME: Final = [("POST", "/volumes/create", {"Name": "data"}), ("DELETE", "/volumes/x", None)]
RUNNER: Final = [
    *LIFE, *JOIN, *NETWORK, *VOLUME, LIST, INSPECT, INFO, EVENTS, LOGS, STATS, IMAGES, IMAGE, PULL,
    NETWORKS, VOLUMES, EXEC, EXEC_START, EXEC_INSPECT, ATTACH,
]  # fmt: skip
SWARM: Final = [("GET", "/services", None), ("GET", "/tasks", None)]

COMPOSE: Final = [
    INFO, EVENTS, LIST, INSPECT, IMAGE, PULL, NETWORKS, VOLUMES, *LIFE, *JOIN, *NETWORK, *VOLUME,
    ATTACH, LOGS, act("rename?name=x"),
    create(
        {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "Binds": ["data:/data"]},
        NetworkingConfig={"EndpointsConfig": {"x_default": {"Aliases": ["web"]}}},
    ),
]  # fmt: skip

CLIENTS: Final[dict[str, list[Request]]] = {
    "traefik": [VERSION, EVENTS, LIST, INSPECT],
    "traefik-swarm": [VERSION, EVENTS, NETWORKS, *SWARM],
    "nginx-proxy": [VERSION, INFO, EVENTS, LIST, INSPECT],
    "watchtower-monitor": [LIST, INSPECT, IMAGE],
    "watchtower": [
        LIST, INSPECT, IMAGE, PULL, *LIFE, *JOIN, act("rename?name=old"),
        ("POST", "/images/app/tag?repo=app&tag=old", None), ("DELETE", "/images/app", None),
        create({"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}),
    ],
    "diun": [VERSION, LIST, IMAGE],
    "homepage": [LIST, INSPECT, STATS],
    "homarr": [LIST, INSPECT, STATS, act("start"), act("stop"), act("restart")],
    "dozzle": [INFO, EVENTS, LIST, INSPECT, LOGS, STATS],
    "dozzle-actions": [LOGS, act("start"), act("stop"), act("restart")],
    "uptime-kuma": [("GET", "/containers/json?all=true", None), INSPECT],
    "autoheal": [("GET", "/containers/json?filters=%7B%7D", None), act("restart?t=10")],
    "beszel": [LIST, INSPECT, STATS, LOGS],
    "netdata": [IMAGES, LIST, INSPECT],
    "prometheus": [LIST, NETWORKS],
    "prometheus-swarm": [*SWARM, ("GET", "/nodes", None), NETWORKS],
    "docker-volume-backup": [INFO, LIST, INSPECT, act("stop"), act("start")],
    "ryuk": [
        LIST, NETWORKS, VOLUMES, IMAGES, REMOVE, ("DELETE", "/networks/x", None),
        ("DELETE", "/volumes/x", None), ("DELETE", "/images/x", None),
    ],
    "compose": COMPOSE,
    "testcontainers": [
        INFO, VERSION, LIST, INSPECT, LOGS, IMAGE, PULL, *LIFE, *NETWORK, EXEC, EXEC_START,
        EXEC_INSPECT, ("PUT", "/containers/web/archive?path=/", b"tar"),
        create({"PortBindings": {"80/tcp": [{"HostPort": ""}]}}),
    ],
    "github-actions": RUNNER,
    "gitlab-runner": [*RUNNER, act("restart")],
    "renovate": [IMAGES, PULL, create(), ATTACH, act("start"), EXEC, REMOVE],
    "dockge": [*COMPOSE, STATS, EXEC, EXEC_START],
    "portainer": [
        LIST, INSPECT, LOGS, STATS, *LIFE, *JOIN, *NETWORK, *VOLUME, EXEC, ATTACH, IMAGES, PULL,
        ("GET", "/system/df", None), ("GET", "/containers/web/changes", None),
    ],
}  # fmt: skip
"""What each client sends, from its own documentation or source."""
