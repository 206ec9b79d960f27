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

OUTPOST: Final = create(
    {
        "NetworkMode": "authentik",
        "PortBindings": {"9000/tcp": [{"HostIp": "", "HostPort": "9000"}]},
        "RestartPolicy": {"Name": "unless-stopped"},
    },
    ExposedPorts={"9000/tcp": {}},
    Healthcheck={"Test": ["CMD", "/proxy", "healthcheck"], "Interval": 5 * 10**9, "Retries": 20},
    Labels={"io.goauthentik.outpost-uuid": "0" * 32},
    NetworkingConfig={"EndpointsConfig": {"authentik": None}},
)
WORKFLOW_STEP: Final = create(
    {"Binds": ["wp_x_default:/woodpecker"], "LogConfig": {"Type": "json-file"}, "Tmpfs": {}},
    AttachStderr=True,
    AttachStdout=True,
    Entrypoint=["/bin/sh", "-c", "echo"],
    Labels={"wp_step": "build", "wp_uuid": "x"},
    Volumes={"/woodpecker": {}},
    WorkingDir="/woodpecker",
)
ACT_JOB: Final = create(
    {
        "Mounts": [
            {"Type": "volume", "Source": "act-toolcache", "Target": "/opt/hostedtoolcache"},
            {"Type": "volume", "Source": "job", "Target": "/workspace/owner/repository"},
        ],
        "NetworkMode": "job-network",
    },
    Entrypoint=["/bin/sleep", "3600"],
    NetworkingConfig={"EndpointsConfig": {"job-network": {"Aliases": ["build"]}}},
    WorkingDir="/workspace/owner/repository",
)
INSPECTED: Final[dict[str, Any]] = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "NetworkMode": "front",
    "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "ConsoleSize": [0, 0],
    "CgroupnsMode": "private",
    "IpcMode": "private",
    "PidMode": "",
    "Privileged": False,
    "SecurityOpt": None,
    "ShmSize": 67108864,
    "Runtime": "runc",
    "MaskedPaths": [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ],
    "ReadonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
}
"""HostConfig as an inspection shows it, which Portainer sends back to recreate a container."""

ENDPOINT: Final[dict[str, Any]] = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": ["web"],
    "DriverOpts": None,
    "NetworkID": "0" * 64,
    "EndpointID": "",
    "Gateway": "172.18.0.1",
    "IPAddress": "172.18.0.2",
    "IPPrefixLen": 16,
    "DNSNames": ["web"],
}
RECREATED: Final = create(INSPECTED, NetworkingConfig={"EndpointsConfig": {"front": ENDPOINT}})
"""The request with which Portainer creates a container again."""

RECREATE: Final = [
    ("GET", "/containers/web/json?size=1", None),
    PULL,
    act("stop"),
    act("rename?name=web-old"),
    ("POST", f"/networks/{'0' * 64}/disconnect", {"Container": "web", "Force": True}),
    (
        "POST",
        f"/networks/{'1' * 64}/connect",
        {"Container": "web", "EndpointConfig": {**ENDPOINT, "NetworkID": "1" * 64}},
    ),
    act("start"),
    ("DELETE", "/containers/web", None),
]

HELPER: Final = create(
    {"Binds": ["data:/volume:ro"], "AutoRemove": False},
    Cmd=["sleep", "infinity"],
    Labels={"dockhand.volume.helper": "true", "dockhand.volume.name": "data"},
)
"""The container with which Dockhand shows the files of a volume."""

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
        ("GET", "/system/df", None), ("GET", "/containers/web/changes", None), *RECREATE,
    ],
    "dockhand": [
        PING, INFO, VERSION, EVENTS, ("GET", "/containers/json?all=true&size=true", None), INSPECT,
        ("GET", "/containers/web/stats?stream=false", None), LOGS,
        ("GET", "/containers/web/top", None), *LIFE, act("restart"), act("pause"), act("unpause"),
        act("rename?name=web-old"),
        ("POST", "/containers/web/update", {"RestartPolicy": {"Name": "unless-stopped"}}), HELPER,
        EXEC, EXEC_START, EXEC_INSPECT, IMAGES, IMAGE, PULL, ("GET", "/images/app/history", None),
        ("POST", "/images/app/tag?repo=app&tag=2", None),
        ("DELETE", "/images/app?force=false", None),
        ("GET", "/images/search?term=app&limit=25", None), NETWORKS, VOLUMES, *NETWORK, *VOLUME,
        *JOIN, ("GET", "/system/df", None), ("POST", "/containers/prune", None),
        ("POST", "/volumes/prune", None), ("POST", "/networks/prune", None),
        ("POST", "/images/prune?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D", None),
    ],
    "dokploy-monitoring": [
        PING, ("GET", "/containers/json", None),
        ("GET", "/containers/web/stats?stream=0", None),
    ],
    "sablier": [
        VERSION, EVENTS, INSPECT, act("start"), act("stop"),
        act("wait?condition=not-running"), ("GET", "/containers/json?all=1&filters=%7B%7D", None),
    ],
    "crowdsec": [
        INFO, EVENTS, LIST, INSPECT,
        ("GET", "/containers/web/logs?follow=1&since=0&stderr=1&stdout=1", None),
    ],
    "authentik-outpost": [
        VERSION, INFO, LIST, INSPECT, IMAGE, PULL, OUTPOST, act("start"), act("restart"),
        act("kill"), ("DELETE", "/containers/web?v=False&link=False&force=True", None),
    ],
    "woodpecker-agent": [
        INFO, ("POST", "/volumes/create", {"Name": "wp_x_default", "Driver": "local"}),
        ("POST", "/networks/create", {"Name": "wp_x", "Driver": "bridge", "EnableIPv6": False}),
        PULL, WORKFLOW_STEP,
        (
            "POST",
            "/networks/wp_x/connect",
            {"Container": "wp_x", "EndpointConfig": {"Aliases": ["build"]}},
        ),
        act("start"), act("wait"), INSPECT,
        ("GET", "/containers/web/logs?follow=1&stderr=1&stdout=1", None), act("kill?signal=9"),
        ("DELETE", "/containers/web?v=1", None), ("DELETE", "/volumes/wp_x_default?force=1", None),
        ("DELETE", "/networks/wp_x", None),
    ],
    "act-runner": [
        VERSION, INFO, IMAGE, PULL, NETWORKS, VOLUMES, *NETWORK, ("GET", "/networks/x", None),
        ("GET", "/containers/json?all=1&limit=0", None), ACT_JOB, act("start"), ATTACH,
        act("wait?condition=not-running"), INSPECT, EXEC, EXEC_START, EXEC_INSPECT,
        ("PUT", "/containers/web/archive?path=%2F", b"tar"),
        ("GET", "/containers/web/archive?path=%2Fx", None), REMOVE,
        ("DELETE", "/volumes/x?force=1", None),
    ],
    "komodo-periphery": [
        *COMPOSE, STATS, IMAGES, act("pause"), act("unpause"), act("restart"),
        ("GET", "/containers/web/json?size=true", None), ("GET", "/networks/front", None),
        ("GET", "/volumes/data", None), ("GET", "/images/app/history", None),
        ("DELETE", "/images/app", None),
    ],
    "coolify-sentinel": [
        ("GET", "/containers/json?all=true&size=false", None), INSPECT,
        ("GET", "/containers/web/stats?stream=false&one-shot=false", None),
    ],
}  # fmt: skip
"""What each client sends, from its own documentation or source."""
