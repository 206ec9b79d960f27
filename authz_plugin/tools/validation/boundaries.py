"""Requests that cross a boundary, each in one way, on top of a request that is allowed.

All of them come to nothing wherever they are allowed (see ``probes``): containers are made of an
image that nobody has, so dockerd stops after it has asked its plugins, and nothing is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.validation.expected_policy import (
    Config,
    gives_capability,
    mounts_path,
    shares_namespace,
    takes_security_option,
)
from authz_plugin.tools.validation.probes import NOTHING


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to try. ``promised`` is whether the configuration allows it; ``rules`` name who
    denies it if not (one of them at least), as ids or as families with a closing dot."""

    id: str
    title: str
    request: Request
    promised: bool
    rules: tuple[str, ...]


_NAMESPACES: Final = (
    ("network", "NetworkMode"),
    ("pid", "PidMode"),
    ("ipc", "IpcMode"),
    ("uts", "UTSMode"),
    ("user", "UsernsMode"),
    ("cgroup", "CgroupnsMode"),
)
_SHARED: Final = ("network", "pid", "ipc")
_CAPABILITIES: Final = (
    "ALL",
    "BPF",
    "DAC_READ_SEARCH",
    "NET_ADMIN",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
)
_OPTIONS: Final = (
    ("seccomp", "unconfined"),
    ("apparmor", "unconfined"),
    ("label", "disable"),
    ("no-new-privileges", "false"),
)
_PATHS: Final = (
    "/",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/proc",
    "/root",
    "/sys",
    "/usr",
    "/var/lib/docker",
)
_PROTECTED: Final = ("/var/run/docker.sock", "/run/docker.sock", "/run/docker/plugins")
_PLACE: Final = ("mounts.source", "mounts.protected", "mounts.type", "guard.")


def container(config: Config, image: str | None = None) -> dict[str, Any]:
    """The body of a container that does without everything that a configuration can ask for."""
    labels = config.get("labels", {}).get("required", {})
    owned = config.get("tenancy", {}).get("labels", {})
    return {
        "Image": image or unknown_image(config),
        "Cmd": ["true"],
        "User": "65534:65534",
        "Labels": {**{name: _filled(values) for name, values in labels.items()}, **owned},
        "Healthcheck": {"Test": ["CMD", "true"]},
        "HostConfig": {
            "CapDrop": ["ALL"],
            "Memory": 16 << 20,
            "NanoCpus": 100_000_000,
            "NetworkMode": "none",
            "PidsLimit": 16,
            "ReadonlyRootfs": True,
            "SecurityOpt": ["no-new-privileges=true"],
        },
    }


def unknown_image(config: Config) -> str:
    """A reference that fits what a configuration says of images, and that nobody has."""
    images = config.get("images", {})
    named = next(iter(images.get("allow", [])), "*").replace("*", NOTHING)
    if images.get("digest") == "required" and "@" not in named:
        named += "@sha256:" + "0" * 64
    elif ":" not in named.rpartition("/")[2]:
        named += ":none"
    return named


def boundaries(config: Config, base: Mapping[str, Any]) -> Iterator[Attempt]:
    """The attempts for a configuration; ``base`` is the body of a container that it allows."""
    create = Creator(base)
    yield create("privileged", "a privileged container", config["privileged"]["allow"],
                 ("privileged.container",), Privileged=True)  # fmt: skip
    yield from _namespaces(config, create)
    yield from _capabilities(config, create)
    yield from _devices(config, create)
    yield from _security_options(config, create)
    yield from _binds(config, create)
    yield from _disguised_binds(config, create)
    yield from _volumes(config, create)
    yield from _beside_containers(config)
    yield from _disguises(config, base)


class Creator:
    """Makes attempts to create a container whose HostConfig differs from an allowed one's."""

    def __init__(self, base: Mapping[str, Any]) -> None:
        self._base = base

    def __call__(
        self,
        id_: str,
        title: str,
        promised: bool,
        rules: tuple[str, ...],
        *,
        top: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Attempt:
        """An attempt; ``changes`` are of HostConfig, ``top`` of what stands beside it."""
        host = {**self._base["HostConfig"], **changes}
        body = {**self._base, **(top or {}), "HostConfig": host}
        request = Request.of_json("POST", "/containers/create", body)
        return Attempt(id_, title, request, promised, rules)

    @property
    def security_options(self) -> list[str]:
        """Those of the allowed container."""
        return list(self._base["HostConfig"].get("SecurityOpt", []))


def _namespaces(config: Config, create: Creator) -> Iterator[Attempt]:
    for kind, field in _NAMESPACES:
        promised = shares_namespace(config, kind, "host")
        title = f"the host's {kind} namespace"
        rules = ("namespaces.host",)
        host: dict[str, Any] = {field: "host"}
        yield create(f"namespaces.{kind}.host", title, promised, rules, **host)
    fields = dict(_NAMESPACES)
    for kind in _SHARED:
        other: dict[str, Any] = {fields[kind]: f"container:{NOTHING}"}
        yield create(
            f"namespaces.{kind}.container",
            f"another container's {kind} namespace",
            shares_namespace(config, kind, "container"),
            ("namespaces.container",),
            **other,
        )


def _capabilities(config: Config, create: Creator) -> Iterator[Attempt]:
    for name in sorted({*_CAPABILITIES, *config["capabilities"]["allow"]}):
        promised = gives_capability(config, name)
        title = f"capability {name}"
        rules = ("capabilities.add",)
        yield create(f"capabilities.{name}", title, promised, rules, CapAdd=[name])
    promised = gives_capability(config, "SYS_ADMIN")
    yield create("capabilities.spelling", "capability SYS_ADMIN as cap_sys_admin", promised,
                 ("capabilities.add",), CapAdd=["cap_sys_admin"])  # fmt: skip


def _devices(config: Config, create: Creator) -> Iterator[Attempt]:
    devices = config["devices"]
    for path in ("/dev/mem", "/dev/sda", "/dev"):
        mapping = {"PathOnHost": path, "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}
        promised = path in devices["allow"]
        rules = ("devices.mapping",)
        yield create(f"devices.{path}", f"device {path}", promised, rules, Devices=[mapping])
    yield create("devices.cgroup-rule", "every block device by cgroup rule",
                 devices["cgroup_rules"], ("devices.cgroup-rule",),
                 DeviceCgroupRules=["b *:* rwm"])  # fmt: skip
    gpu = {"Count": -1, "Capabilities": [["gpu"]]}
    yield create("devices.request", "a device request (GPUs, CDI)", devices["requests"],
                 ("devices.request",), DeviceRequests=[gpu])  # fmt: skip
    variable = "NVIDIA_VISIBLE_DEVICES"
    yield create("devices.environment", "a device request by a variable",
                 devices["requests"] or variable not in devices["environment"],
                 ("devices.environment",), top={"Env": [f"{variable}=all"]})  # fmt: skip


def _security_options(config: Config, create: Creator) -> Iterator[Attempt]:
    rules = ("security-options.value",)
    for name, value in _OPTIONS:
        promised = takes_security_option(config, name, value)
        options = [o for o in create.security_options if not o.startswith(name)]
        yield create(f"security-options.{name}", f"security option {name}={value}", promised,
                     rules, SecurityOpt=[*options, f"{name}={value}"])  # fmt: skip
    paths = config["security_options"]["paths"]
    rules = ("security-options.paths",)
    yield create("security-options.masked-paths", "unmasked paths of /proc", paths, rules,
                 MaskedPaths=[])  # fmt: skip
    yield create("security-options.readonly-paths", "writable paths of /proc", paths, rules,
                 ReadonlyPaths=[])  # fmt: skip


def _binds(config: Config, create: Creator) -> Iterator[Attempt]:
    for path in (*_PATHS, *_PROTECTED):
        promised = mounts_path(config, path)
        yield create(f"mounts.{path}", f"bind mount of {path}", promised, _PLACE,
                     Binds=[f"{path}:/data"])  # fmt: skip
    for root in config["mounts"]["allow"]:
        path = root["path"]
        mode = ":ro" if root.get("read_only") else ""
        promised = mounts_path(config, path, read_only=bool(mode))
        yield create(f"mounts.{path}", f"bind mount of {path}{mode}, an allowed path", promised,
                     _PLACE, Binds=[f"{path}:/data{mode}"])  # fmt: skip
        yield from _around_root(config, create, path)
        if not mode:
            promised = mounts_path(config, path) and config["mounts"]["subfolders"] == "allow"
            yield create(f"mounts.{path}.subfolder", f"a folder of {path} that starts by itself",
                         promised, (*_PLACE, "mounts.subfolders", "containers.restart"),
                         Binds=[f"{path}/{NOTHING}:/data"],
                         RestartPolicy={"Name": "unless-stopped"})  # fmt: skip
        if mode:
            promised = mounts_path(config, path)
            rules = (*_PLACE, "mounts.read-only")
            yield create(f"mounts.{path}.writable", f"bind mount of {path}, writable", promised,
                         rules, Binds=[f"{path}:/data"])  # fmt: skip


def _around_root(config: Config, create: Creator, root: str) -> Iterator[Attempt]:
    """What only looks as if it lay below an allowed path."""
    for id_, path in (("sibling", f"{root}2"), ("parent", f"{root}/../etc")):
        promised = mounts_path(config, path)
        yield create(f"mounts.{root}.{id_}", f"bind mount of {path}", promised, _PLACE,
                     Binds=[f"{path}:/data"])  # fmt: skip


def _disguised_binds(config: Config, create: Creator) -> Iterator[Attempt]:
    promised = mounts_path(config, "/etc")
    options = {"type": "none", "o": "bind", "device": "/etc"}
    mounts: Mapping[str, dict[str, Any]] = {
        "of type bind": {"Type": "bind", "Source": "/etc"},
        "as a volume's options": {
            "Type": "volume",
            "Source": NOTHING,
            "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}},
        },
        "as an anonymous volume's options": {
            "Type": "volume",
            "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}},
        },
    }
    for how, mount in mounts.items():
        yield create(f"mounts.disguised {how}", f"/etc as a mount {how}", promised,
                     (*_PLACE, "volumes."), Mounts=[{**mount, "Target": "/data"}])  # fmt: skip
    shared = {"Type": "bind", "Source": "/etc", "BindOptions": {"Propagation": "rshared"}}
    yield create("mounts.propagation", "a mount that propagates to the host",
                 promised and "rshared" in config["mounts"]["propagation"],
                 ("mounts.propagation",), Mounts=[{**shared, "Target": "/data"}])  # fmt: skip
    yield create("mounts.volumes-from", "the mounts of another container",
                 config["mounts"]["volumes_from"], ("mounts.volumes-from",),
                 VolumesFrom=[NOTHING])  # fmt: skip


def _volumes(config: Config, create: Creator) -> Iterator[Attempt]:
    volumes = config["volumes"]
    named = volumes["named"] and "volume" in config["mounts"]["types"]
    rules = ("volumes.named", "mounts.type")
    yield create("volumes.named", "a named volume", named, rules,
                 Binds=[f"{NOTHING}:/data"])  # fmt: skip
    driver = {"Type": "volume", "Source": NOTHING, "Target": "/data"}
    options = {"DriverConfig": {"Name": NOTHING}}
    yield create("volumes.driver", "a volume of an unknown driver", NOTHING in volumes["drivers"],
                 ("volumes.driver",),
                 Mounts=[{**driver, "VolumeOptions": options}])  # fmt: skip
    for kind, device in (("ext4", "/dev/sda1"), ("nfs", ":/"), ("overlay", "overlay")):
        local = {"Name": "local", "Options": {"type": kind, "device": device}}
        yield create(f"volumes.{kind}", f"a volume that mounts {kind}",
                     named and kind in volumes["types"], ("volumes.", "mounts."),
                     Mounts=[{**driver, "VolumeOptions": {"DriverConfig": local}}])  # fmt: skip


def _beside_containers(config: Config) -> Iterator[Attempt]:
    exec_ = Request.of_json(
        "POST", f"/containers/{NOTHING}/exec", {"Cmd": ["true"], "Privileged": True}
    )
    yield Attempt("exec.privileged", "a privileged exec", exec_, config["privileged"]["allow"],
                  ("privileged.exec",))  # fmt: skip
    yield Attempt(
        "build.host-network",
        "a build in the host's network",
        Request("POST", "/build?dockerfile=none&networkmode=host"),
        "host" in config["build"]["networks"],
        ("build.network",),
    )
    options = {"type": "none", "o": "bind", "device": "/etc"}
    volume = {"Name": "!", "Driver": "local", "DriverOpts": options}
    yield Attempt(
        "volumes.create-bind",
        "a new volume that is a bind mount of /etc",
        Request.of_json("POST", "/volumes/create", volume),
        mounts_path(config, "/etc"),
        (*_PLACE, "volumes."),
    )
    mount = {"Type": "bind", "Source": "/etc", "Target": "/data"}
    service = {"Name": NOTHING, "TaskTemplate": {"ContainerSpec": {"Mounts": [mount]}}}
    yield Attempt(
        "swarm.service-bind",
        "a service with a bind mount of /etc",
        Request.of_json("POST", "/services/create", service),
        mounts_path(config, "/etc"),
        _PLACE,
    )


def _disguises(config: Config, base: Mapping[str, Any]) -> Iterator[Attempt]:
    """A privileged container and others in spellings that dockerd understands."""
    allowed = config["privileged"]["allow"]
    rules = ("privileged.container", "request.")
    host = {**base["HostConfig"], "Privileged": True}
    folded = {**{k.lower(): v for k, v in base.items() if k != "HostConfig"}, "hostconfig": host}
    plain = json.dumps({**base, "HostConfig": base["HostConfig"]})
    twice = f'{plain[:-1]}, "HostConfig": {{"Privileged": true}}}}'
    json_ = (("Content-Type", "application/json"),)
    privileged = json.dumps({**base, "HostConfig": host}).encode()
    ways: dict[str, tuple[str, Request]] = {
        "folded": ("in lower-case keys", Request.of_json("POST", "/containers/create", folded)),
        "repeated": (
            "in a second HostConfig",
            Request("POST", "/containers/create", json_, twice.encode()),
        ),
        "encoded": (
            "behind an encoded path",
            Request("POST", "/containers%2Fcreate", json_, privileged),
        ),
    }
    if not allowed:  # engines before the fix of CVE-2024-41110 withhold a chunked body
        chunked = Request("POST", "/containers/create", json_, privileged, chunked=True)
        ways["chunked"] = ("in a chunked body", chunked)
    for id_, (how, request) in ways.items():
        yield Attempt(f"disguise.{id_}", f"a privileged container {how}", request, allowed, rules)
    unknown = {**base, "OpaAuthzProbe": True}
    yield Attempt(
        "request.unknown-field",
        "a field that no engine knows",
        Request.of_json("POST", "/containers/create", unknown),
        config["request"]["unknown_fields"] == "ignore",
        ("request.unknown-field",),
    )
    yield Attempt(
        "request.query",
        "a parameter given twice",
        Request("GET", f"/containers/{NOTHING}/logs?stdout=1&stdout=0"),
        promised=False,
        rules=("request.query",),
    )


def _filled(values: list[str]) -> str:
    return next(iter(values), "").replace("*", NOTHING)
