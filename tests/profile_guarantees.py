"""The guarantees of the shipped profiles: sentences with the rules that enforce them.

``docs/reference/profiles.md`` shows the sentences and the rules.
``tests/test_profile_guarantees.py`` has each profile decide on the requests, which must be denied.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

Request = tuple[str, str, Any]
"""Method, target without a version, and body: a JSON value, ``b"…"`` for an archive, or None."""


MOVED: Final = "moved"
"""The name of a container that binds ``/workspace/moved``, which has become a symbolic link."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A guarantee of a profile.

    ``text`` is the sentence in docs/profiles.md, ``rules`` are the ids of the rules that enforce
    it, and ``denied`` are requests. Each rule denies at least one of the requests, and each request
    is denied by at least one of the rules.
    """

    text: str
    rules: tuple[str, ...]
    denied: tuple[Request, ...]


def create(host: dict[str, Any] | None = None, **config: Any) -> Request:
    """Return a request to create a container, with fields of HostConfig and of the body."""
    body = {"Image": "registry.example/app:1", "HostConfig": host or {}, **config}
    return ("POST", "/containers/create?name=web", body)


def _volume(**options: str) -> Request:
    return create(
        {
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": "data",
                    "Target": "/data",
                    "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}},
                }
            ]
        }
    )


def _container_action(verb: str) -> Request:
    return ("POST", f"/containers/web/{verb}", None)


def _endpoint(**config: Any) -> Request:
    return create({"NetworkMode": "front"}, NetworkingConfig={"EndpointsConfig": {"front": config}})


_EXEC: Final = ("POST", "/containers/web/exec", {"Cmd": ["true"]})
_FILES: Final = (
    ("GET", "/containers/web/archive?path=/etc", None),
    ("PUT", "/containers/web/archive?path=/", b"tar"),
    ("HEAD", "/containers/web/archive?path=/etc", None),
)
_CHECKPOINTS: Final = (
    ("POST", "/containers/web/checkpoints", {"CheckpointID": "x"}),
    ("GET", "/containers/web/checkpoints", None),
    ("DELETE", "/containers/web/checkpoints/x", None),
    _container_action("start?checkpoint=x"),
)
_SWARM: Final[tuple[Request, ...]] = (
    ("POST", "/swarm/init", {}),
    ("GET", "/swarm", None),
    ("POST", "/services/create", {"Name": "web"}),
    ("GET", "/secrets", None),
    ("GET", "/configs", None),
)
_PLUGINS: Final[tuple[Request, ...]] = (
    ("POST", "/plugins/pull?remote=x", []),
    ("POST", "/plugins/x/disable", None),
    ("POST", "/plugins/create?name=x", b"tar"),
)
_BUILDS: Final = (
    ("POST", "/build?t=app", b"tar"),
    ("POST", "/session", b""),
    ("POST", "/grpc", b""),
)
_IMAGES_IN: Final = (
    ("POST", "/images/load", b"tar"),
    ("POST", "/images/create?fromSrc=-&repo=app", b"tar"),
)
_IMAGES_OUT: Final = (("GET", "/images/app/get", None), ("POST", "/images/app/push", None))
_NETWORKS: Final = (
    ("POST", "/networks/create", {"Name": "front"}),
    ("POST", "/networks/front/connect", {"Container": "web"}),
    ("DELETE", "/networks/front", None),
)
_VOLUMES: Final = (
    ("POST", "/volumes/create", {"Name": "data"}),
    ("DELETE", "/volumes/data", None),
    ("POST", "/volumes/prune", None),
)
_WITH_LIMITS: Final = {"Memory": 1 << 28, "NanoCpus": 10**9, "PidsLimit": 100}

WITHOUT_GUARANTEES: Final = "observe"
"""The profile that guarantees nothing, because it only records."""

COMMON_GUARANTEES: Final = (
    Guarantee(
        "No container and no exec is privileged.",
        ("privileged.container", "privileged.exec"),
        (
            create({"Privileged": True}),
            ("POST", "/containers/web/exec", {"Cmd": ["true"], "Privileged": True}),
        ),
    ),
    Guarantee(
        "No container joins a namespace of the host or of another container.",
        ("namespaces.host", "namespaces.container", "namespaces.unknown"),
        (
            create({"PidMode": "host"}),
            create({"NetworkMode": "host"}),
            create({"IpcMode": "container:db"}),
            create({"UTSMode": "other"}),
        ),
    ),
    Guarantee(
        "No container gets a device of the host, a GPU or a CDI device.",
        ("devices.mapping", "devices.request", "devices.cgroup-rule"),
        (
            create({"Devices": [{"PathOnHost": "/dev/sda"}]}),
            create({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["vendor/class=x"]}]}),
            create({"DeviceCgroupRules": ["b *:* rwm"]}),
        ),
    ),
    Guarantee(
        "seccomp, AppArmor, SELinux, masked and read-only paths are as dockerd sets them.",
        ("security-options.value", "security-options.paths"),
        (
            create({"SecurityOpt": ["seccomp=unconfined"]}),
            create({"SecurityOpt": ["label=disable"]}),
            create({"MaskedPaths": []}),
        ),
    ),
    Guarantee(
        "Only host paths below the roots in `mounts.allow` are mounted, however the request "
        "states the mount: as a bind, as a mount, by a volume's options or by another container's "
        "volumes.",
        ("mounts.source", "mounts.volumes-from", "volumes.options"),
        (
            create({"Binds": ["/srv/other:/x"]}),
            _volume(type="none", o="bind", device="/srv/other"),
            _volume(type="ext4", device="/dev/sda1"),
            create({"VolumesFrom": ["db"]}),
        ),
    ),
    Guarantee(
        "The Docker socket, the state and settings of dockerd and of this plugin, and folders "
        "above them are never mounted.",
        ("mounts.protected", "guard.mount"),
        (
            create({"Binds": ["/var/run/docker.sock:/s"]}),
            create({"Binds": ["/:/host"]}),
            create({"Binds": ["/etc/docker:/x"]}),
        ),
    ),
    Guarantee(
        "A folder that was replaced by a symbolic link after the decision is not mounted at a "
        "start, a restart or a copy of files. Nor does dockerd mount it by itself, because "
        "containers that it restarts may not mount a folder of a writable root.",
        ("mounts.moved", "mounts.subfolders"),
        (
            ("POST", f"/containers/{MOVED}/start", None),
            ("POST", f"/containers/{MOVED}/restart", None),
            ("GET", f"/containers/{MOVED}/archive?path=/data", None),
            create({"Binds": ["/workspace/x:/x"], "RestartPolicy": {"Name": "unless-stopped"}}),
        ),
    ),
    Guarantee(
        "Health checks have a form that Docker documents.",
        ("request.healthcheck",),
        (create(Healthcheck={"Test": ["none"]}),),
    ),
    Guarantee(
        "No mount propagates to the host.",
        ("mounts.propagation",),
        (create({"Binds": ["/srv/other:/x:rshared"]}),),
    ),
    Guarantee(
        "A container runs with dockerd's default runtime and parent cgroup, and without groups, "
        "annotations, storage options and kernel parameters that are not listed.",
        (
            "containers.runtime",
            "containers.cgroup-parent",
            "containers.group",
            "containers.annotation",
            "containers.storage-option",
            "sysctls.name",
        ),
        (
            create({"Runtime": "other"}),
            create({"CgroupParent": "system.slice"}),
            create({"GroupAdd": ["docker"]}),
            create({"Annotations": {"run.oci.keep_original_groups": "1"}}),
            create({"StorageOpt": {"size": "1T"}}),
            create({"Sysctls": {"kernel.msgmax": "1"}}),
        ),
    ),
    Guarantee(
        "dockerd sends no output of a container to another host or socket.",
        ("logging.driver", "logging.option"),
        (
            create({"LogConfig": {"Type": "syslog", "Config": {}}}),
            create({"LogConfig": {"Type": "json-file", "Config": {"syslog-address": "x"}}}),
        ),
    ),
    Guarantee(
        "No container sets an OOM score below 0, disables the OOM killer or gets real-time CPU "
        "time.",
        ("resources.oom-score", "resources.oom-kill", "resources.realtime"),
        (
            create({"OomScoreAdj": -1000}),
            create({"OomKillDisable": True}),
            create({"CpuRealtimeRuntime": 1000}),
        ),
    ),
    Guarantee(
        "Managed plugins cannot be changed, installed or created.",
        ("sections.operation", "plugins.change", "plugins.create"),
        _PLUGINS,
    ),
)
"""The guarantees of every shipped profile."""

_DENIED: Final = ("sections.operation",)

GUARANTEES: Final[dict[str, tuple[Guarantee, ...]]] = {
    "closed": (
        Guarantee(
            "Only ping and version are allowed.",
            _DENIED,
            (create(), _EXEC, *_FILES, *_SWARM, *_BUILDS, *_NETWORKS, *_VOLUMES),
        ),
    ),
    "production": (
        Guarantee(
            "Networks, volumes, images and swarms cannot be changed; volumes cannot be listed.",
            _DENIED,
            (
                *_NETWORKS,
                *_VOLUMES,
                *_SWARM,
                *_IMAGES_IN,
                ("GET", "/volumes", None),
                ("POST", "/images/create?fromImage=app&tag=1", None),
            ),
        ),
        Guarantee("Nothing is built, committed or run by exec.", _DENIED, (*_BUILDS, _EXEC)),
        Guarantee(
            "No files are copied into or out of a container, and no image is exported.",
            _DENIED,
            (*_FILES, ("GET", "/containers/web/export", None), *_IMAGES_OUT),
        ),
        Guarantee(
            "Containers cannot share volumes.",
            ("volumes.named", "mounts.volumes-from"),
            (create({"Binds": ["data:/data"]}), create({"VolumesFrom": ["db"]})),
        ),
        Guarantee(
            "Host ports below 1024 cannot be published, nor can all exposed ports of an image at "
            "once.",
            ("ports.range", "ports.publish-all"),
            (
                create({"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}),
                create({"PublishAllPorts": True}),
            ),
        ),
        Guarantee("No checkpoint is created, listed, removed or restored.", _DENIED, _CHECKPOINTS),
    ),
    "devcontainer": (
        Guarantee(
            "Bind mounts are limited to /workspace.",
            ("mounts.source",),
            (
                create({"Binds": ["/home:/x"]}),
                create({"Binds": ["/workspace/../etc:/x"]}),
                _volume(type="none", o="bind", device="/etc"),
                (
                    "POST",
                    "/volumes/create",
                    {"Name": "x", "DriverOpts": {"o": "bind", "device": "/etc"}},
                ),
            ),
        ),
        Guarantee(
            "The swarm, secrets, configs, plugins and BuildKit's own protocol are denied.",
            _DENIED,
            (*_SWARM, *_PLUGINS, _BUILDS[1], _BUILDS[2]),
        ),
        Guarantee(
            "docker top shows processes of the container only.",
            ("containers.ps-arguments",),
            (("GET", "/containers/web/top?ps_args=-o%20pid%20--unknown", None),),
        ),
        Guarantee("No checkpoint is created, listed, removed or restored.", _DENIED, _CHECKPOINTS),
    ),
    "agent": (
        Guarantee(
            "Every container has limits of memory, CPUs and processes, below a ceiling, and a "
            "limited number of restarts.",
            (
                "resources.required",
                "resources.max",
                "containers.restart",
                "containers.restart-retries",
            ),
            (
                create(),
                create({**_WITH_LIMITS, "Memory": 1 << 40}),
                create({**_WITH_LIMITS, "RestartPolicy": {"Name": "always"}}),
                create({**_WITH_LIMITS, "RestartPolicy": {"Name": "on-failure"}}),
                ("POST", "/containers/web/update", {"Memory": 1 << 40}),
            ),
        ),
        Guarantee(
            "Builds are denied, because their resources cannot be limited.",
            _DENIED,
            _BUILDS,
        ),
        Guarantee(
            "No process gets more privileges than it started with.",
            ("hardening.no-new-privileges",),
            (create(_WITH_LIMITS),),
        ),
        Guarantee(
            "Only /workspace itself is bind-mounted; a folder of it is mounted as the subpath of a "
            "volume.",
            ("mounts.source", "mounts.subfolders"),
            (create({"Binds": ["/home:/x"]}), create({"Binds": ["/workspace/data:/x"]})),
        ),
        Guarantee(
            "Ports are published on localhost only, and none below 1024.",
            ("ports.address", "ports.range"),
            (
                create({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}),
                create({"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}}),
            ),
        ),
        Guarantee(
            "Nothing is pruned, and no image leaves the host.",
            _DENIED,
            (
                ("POST", "/containers/prune", None),
                ("POST", "/volumes/prune", None),
                ("POST", "/networks/prune", None),
                *_IMAGES_OUT,
            ),
        ),
    ),
    "baseline": (
        Guarantee(
            "No capability is added beyond the Pod Security Standards' list.",
            ("capabilities.add",),
            (create({"CapAdd": ["NET_RAW"]}), create({"CapAdd": ["all"]})),
        ),
        Guarantee(
            "Only host ports that the operator has listed are published.",
            ("ports.range",),
            (create({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}),),
        ),
        Guarantee(
            "Archives are denied: of images and of files in containers.",
            _DENIED,
            (*_IMAGES_IN, _FILES[1]),
        ),
        Guarantee("No checkpoint is created, listed, removed or restored.", _DENIED, _CHECKPOINTS),
    ),
    "restricted": (
        Guarantee(
            "A container runs as a user by its number, not as root and not in root's group.",
            ("users.container", "users.group"),
            (create(User=""), create(User="0"), create(User="app"), create(User="1000:0")),
        ),
        Guarantee(
            "A container drops all capabilities, and no process gets more privileges than it "
            "started with.",
            ("hardening.drop", "hardening.no-new-privileges", "capabilities.add"),
            (create(), create({"CapAdd": ["CHOWN"]})),
        ),
        Guarantee(
            "A container has limits of memory, swap, shared memory, CPUs, processes and each "
            "tmpfs.",
            ("resources.required", "resources.max"),
            (
                create(),
                create({**_WITH_LIMITS, "MemorySwap": -1}),
                create({**_WITH_LIMITS, "Tmpfs": {"/x": ""}}),
            ),
        ),
        Guarantee(
            "A container cannot use the name or address of another one: no default bridge, no "
            "additional names, chosen addresses, hosts entries or DNS settings.",
            (
                "networks.default-bridge",
                "networks.alias",
                "networks.address",
                "networks.extra-host",
                "networks.dns",
                "networks.link",
                "networks.mac-address",
            ),
            (
                create(),
                _endpoint(Aliases=["db"]),
                _endpoint(IPAMConfig={"IPv4Address": "10.0.0.2"}),
                create({"ExtraHosts": ["db:10.0.0.2"]}),
                create({"Dns": ["10.0.0.2"]}),
                create({"Links": ["db:db"]}),
                _endpoint(MacAddress="02:42:ac:11:00:02"),
            ),
        ),
        Guarantee(
            "Images are run by name and version.",
            ("images.latest", "images.source"),
            (create(Image="registry.example/app"), create(Image="sha256:" + "0a" * 32)),
        ),
        Guarantee(
            "Bind mounts, execs, and copying into and out of containers are denied.",
            ("mounts.source", "mounts.type", "sections.operation"),
            (create({"Binds": ["/srv:/x"]}), _EXEC, *_FILES, *_IMAGES_OUT),
        ),
    ),
    "cis": (
        Guarantee(
            "A container has a read-only root file system, a health check and no new privileges.",
            ("hardening.read-only-root", "hardening.healthcheck", "hardening.no-new-privileges"),
            (create(), create(Healthcheck={"Test": ["NONE"]})),
        ),
        Guarantee(
            "A container has limits, a limited number of restarts and no ulimits above the host's.",
            (
                "resources.required",
                "containers.restart",
                "containers.restart-retries",
                "resources.ulimit",
            ),
            (
                create({"RestartPolicy": {"Name": "always"}}),
                create({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 6}}),
                create({"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1 << 20}]}),
            ),
        ),
        Guarantee(
            "The host's own folders are never mounted.",
            ("mounts.protected",),
            (create({"Binds": ["/usr/lib:/x"]}), create({"Binds": ["/proc:/x"]})),
        ),
        Guarantee(
            "No ssh server is started, no exec runs as root, and ports are published on localhost.",
            ("containers.command", "users.exec", "ports.address"),
            (
                create(Cmd=["/usr/sbin/sshd", "-D"]),
                ("POST", "/containers/web/exec", {"Cmd": ["id"], "User": "root"}),
                create({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}),
            ),
        ),
        Guarantee(
            "The default bridge and latest are not used.",
            ("networks.default-bridge", "images.latest"),
            (create(), create(Image="registry.example/app")),
        ),
    ),
    "read-only": (
        Guarantee(
            "Nothing is created, changed, started, stopped or removed.",
            _DENIED,
            (
                create(),
                _container_action("start"),
                _container_action("stop"),
                _EXEC,
                ("DELETE", "/containers/web", None),
                *_NETWORKS,
                *_VOLUMES,
                *_IMAGES_IN,
                *_BUILDS,
            ),
        ),
        Guarantee(
            "No file, log, image, secret, config or join token is read.",
            _DENIED,
            (
                *_FILES,
                ("GET", "/containers/web/logs?stdout=1", None),
                ("GET", "/containers/web/export", None),
                ("GET", "/images/app/get", None),
                ("GET", "/secrets", None),
                ("GET", "/configs", None),
                ("GET", "/swarm", None),
            ),
        ),
    ),
}
"""The further guarantees of each profile for hosts."""


def sent(request: Request) -> tuple[str, str, dict[str, str], bytes]:
    """Return method, target, headers and body of a request as in an AuthZ message."""
    method, target, body = request
    uri = f"/v1.44{quote(target, safe='/?&=%')}"
    if isinstance(body, bytes):
        return method, uri, {"content-type": "application/x-tar"}, b""
    if body is None:
        return method, uri, {}, b""
    return method, uri, {"content-type": "application/json"}, json.dumps(body).encode()
