"""Attempts to get privileges on the host, each by one change of an allowed request.

None of them has an effect, even if it is allowed: containers are created from an image that does
not exist, so that dockerd fails after it has asked its plugins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.validation.attempts import Attempt, AttemptFactory
from authz_plugin.tools.validation.expected_policy import (
    Config,
    allows_bind_mount,
    allows_capability,
    allows_namespace,
    allows_security_option,
    matches_any,
)
from authz_plugin.tools.validation.probes import NOTHING

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
_PATH_RULES: Final = ("mounts.source", "mounts.protected", "mounts.type", "guard.")


def container(config: Config, image: str | None = None) -> dict[str, Any]:
    """Return the body of a container that meets every requirement of a configuration.

    ``image`` is its image; without it, one that the configuration allows and that does not exist.
    """
    labels = config.get("labels", {}).get("required", {})
    owned = config.get("tenancy", {}).get("labels", {})
    return {
        "Image": image or unknown_image(config),
        "Cmd": ["true"],
        "User": "65534:65534",
        "Labels": {**{name: _example_value(values) for name, values in labels.items()}, **owned},
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
    """Return the reference of an image that a configuration allows and that does not exist."""
    images = config.get("images", {})
    named = next(iter(images.get("allow", [])), "*").replace("*", NOTHING)
    if images.get("digest") == "required" and "@" not in named:
        named += "@sha256:" + "0" * 64
    elif ":" not in named.rpartition("/")[2]:
        named += ":none"
    return named


def boundaries(config: Config, base: Mapping[str, Any]) -> Iterator[Attempt]:
    """Yield the attempts for a configuration; ``base`` is the body of an allowed container."""
    create = AttemptFactory(base)
    yield create("privileged", "a privileged container", config["privileged"]["allow"],
                 ("privileged.container",), Privileged=True)  # fmt: skip
    yield from _namespaces(config, create)
    yield from _capabilities(config, create)
    yield from _devices(config, create)
    yield from _security_options(config, create)
    yield from _binds(config, create)
    yield from _bind_variants(config, create)
    yield from _volumes(config, create)
    yield from _other_operations(config)
    yield from _encoding_variants(config, base)


def _namespaces(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    for kind, field in _NAMESPACES:
        permitted = allows_namespace(config, kind, "host")
        title = f"the host's {kind} namespace"
        rules = ("namespaces.host",)
        host: dict[str, Any] = {field: "host"}
        yield create(f"namespaces.{kind}.host", title, permitted, rules, **host)
    fields = dict(_NAMESPACES)
    for kind in _SHARED:
        other: dict[str, Any] = {fields[kind]: f"container:{NOTHING}"}
        yield create(
            f"namespaces.{kind}.container",
            f"another container's {kind} namespace",
            allows_namespace(config, kind, "container"),
            ("namespaces.container",),
            **other,
        )


def _capabilities(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    for name in sorted({*_CAPABILITIES, *config["capabilities"]["allow"]}):
        permitted = allows_capability(config, name)
        title = f"capability {name}"
        rules = ("capabilities.add",)
        yield create(f"capabilities.{name}", title, permitted, rules, CapAdd=[name])
    permitted = allows_capability(config, "SYS_ADMIN")
    yield create("capabilities.spelling", "capability SYS_ADMIN as cap_sys_admin", permitted,
                 ("capabilities.add",), CapAdd=["cap_sys_admin"])  # fmt: skip


def _devices(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    devices = config["devices"]
    for path in ("/dev/mem", "/dev/sda", "/dev"):
        mapping = {"PathOnHost": path, "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}
        permitted = path in devices["allow"]
        rules = ("devices.mapping",)
        yield create(f"devices.{path}", f"device {path}", permitted, rules, Devices=[mapping])
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


def _security_options(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    rules = ("security-options.value",)
    for name, value in _OPTIONS:
        permitted = allows_security_option(config, name, value)
        options = [o for o in create.security_options if not o.startswith(name)]
        yield create(f"security-options.{name}", f"security option {name}={value}", permitted,
                     rules, SecurityOpt=[*options, f"{name}={value}"])  # fmt: skip
    paths = config["security_options"]["paths"]
    rules = ("security-options.paths",)
    yield create("security-options.masked-paths", "unmasked paths of /proc", paths, rules,
                 MaskedPaths=[])  # fmt: skip
    yield create("security-options.readonly-paths", "writable paths of /proc", paths, rules,
                 ReadonlyPaths=[])  # fmt: skip


def _binds(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    for path in (*_PATHS, *_PROTECTED):
        permitted = allows_bind_mount(config, path)
        yield create(f"mounts.{path}", f"bind mount of {path}", permitted, _PATH_RULES,
                     Binds=[f"{path}:/data"])  # fmt: skip
    for root in config["mounts"]["allow"]:
        path = root["path"]
        mode = ":ro" if root.get("read_only") else ""
        permitted = allows_bind_mount(config, path, read_only=bool(mode))
        yield create(f"mounts.{path}", f"bind mount of {path}{mode}, an allowed path", permitted,
                     _PATH_RULES, Binds=[f"{path}:/data{mode}"])  # fmt: skip
        yield from _around_root(config, create, path)
        if not mode:
            permitted = (
                allows_bind_mount(config, path) and config["mounts"]["subfolders"] == "allow"
            )
            yield create(f"mounts.{path}.subfolder", f"a folder of {path} that starts by itself",
                         permitted, (*_PATH_RULES, "mounts.subfolders", "containers.restart"),
                         Binds=[f"{path}/{NOTHING}:/data"],
                         RestartPolicy={"Name": "unless-stopped"})  # fmt: skip
        if mode:
            permitted = allows_bind_mount(config, path)
            rules = (*_PATH_RULES, "mounts.read-only")
            yield create(f"mounts.{path}.writable", f"bind mount of {path}, writable", permitted,
                         rules, Binds=[f"{path}:/data"])  # fmt: skip


def _around_root(config: Config, create: AttemptFactory, root: str) -> Iterator[Attempt]:
    """Yield binds of paths whose spelling begins like an allowed path, but which are outside it."""
    for id_, path in (("sibling", f"{root}2"), ("parent", f"{root}/../etc")):
        permitted = allows_bind_mount(config, path)
        yield create(f"mounts.{root}.{id_}", f"bind mount of {path}", permitted, _PATH_RULES,
                     Binds=[f"{path}:/data"])  # fmt: skip


def _bind_variants(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    permitted = allows_bind_mount(config, "/etc")
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
        yield create(f"mounts.disguised {how}", f"/etc as a mount {how}", permitted,
                     (*_PATH_RULES, "volumes."), Mounts=[{**mount, "Target": "/data"}])  # fmt: skip
    shared = {"Type": "bind", "Source": "/etc", "BindOptions": {"Propagation": "rshared"}}
    yield create("mounts.propagation", "a mount that propagates to the host",
                 permitted and "rshared" in config["mounts"]["propagation"],
                 ("mounts.propagation",), Mounts=[{**shared, "Target": "/data"}])  # fmt: skip
    yield create("mounts.volumes-from", "the mounts of another container",
                 config["mounts"]["volumes_from"], ("mounts.volumes-from",),
                 VolumesFrom=[NOTHING])  # fmt: skip


def _volumes(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    volumes = config["volumes"]
    named = volumes["named"] and "volume" in config["mounts"]["types"]
    rules = ("volumes.named", "mounts.type")
    yield create("volumes.named", "a named volume", named, rules,
                 Binds=[f"{NOTHING}:/data"])  # fmt: skip
    driver = {"Type": "volume", "Source": NOTHING, "Target": "/data"}
    options = {"DriverConfig": {"Name": NOTHING}}
    yield create("volumes.driver", "a volume of an unknown driver",
                 matches_any(volumes["drivers"], NOTHING), ("volumes.driver",),
                 Mounts=[{**driver, "VolumeOptions": options}])  # fmt: skip
    for kind, device in (("ext4", "/dev/sda1"), ("nfs", ":/"), ("overlay", "overlay")):
        local = {"Name": "local", "Options": {"type": kind, "device": device}}
        yield create(f"volumes.{kind}", f"a volume that mounts {kind}",
                     named and kind in volumes["types"], ("volumes.", "mounts."),
                     Mounts=[{**driver, "VolumeOptions": {"DriverConfig": local}}])  # fmt: skip


def _other_operations(config: Config) -> Iterator[Attempt]:
    exec_ = Request.of_json(
        "POST", f"/containers/{NOTHING}/exec", {"Cmd": ["true"], "Privileged": True}
    )
    yield Attempt("exec.privileged", "a privileged exec", exec_, config["privileged"]["allow"],
                  ("privileged.exec",))  # fmt: skip
    yield Attempt(
        "build.host-network",
        "a build in the host's network",
        Request("POST", "/build?dockerfile=none&networkmode=host"),
        matches_any(config["build"]["networks"], "host"),
        ("build.network",),
    )
    options = {"type": "none", "o": "bind", "device": "/etc"}
    volume = {"Name": "!", "Driver": "local", "DriverOpts": options}
    yield Attempt(
        "volumes.create-bind",
        "a new volume that is a bind mount of /etc",
        Request.of_json("POST", "/volumes/create", volume),
        allows_bind_mount(config, "/etc"),
        (*_PATH_RULES, "volumes."),
    )
    mount = {"Type": "bind", "Source": "/etc", "Target": "/data"}
    service = {"Name": NOTHING, "TaskTemplate": {"ContainerSpec": {"Mounts": [mount]}}}
    yield Attempt(
        "swarm.service-bind",
        "a service with a bind mount of /etc",
        Request.of_json("POST", "/services/create", service),
        allows_bind_mount(config, "/etc"),
        _PATH_RULES,
    )


def _encoding_variants(config: Config, base: Mapping[str, Any]) -> Iterator[Attempt]:
    """Yield a privileged container in other encodings, and malformed requests."""
    allowed = config["privileged"]["allow"]
    rules = ("privileged.container", "request.")
    host = {**base["HostConfig"], "Privileged": True}
    folded = {**{k.lower(): v for k, v in base.items() if k != "HostConfig"}, "hostconfig": host}
    plain = json.dumps({**base, "HostConfig": base["HostConfig"]})
    twice = f'{plain[:-1]}, "HostConfig": {{"Privileged": true}}}}'
    json_ = (("Content-Type", "application/json"),)
    privileged = json.dumps({**base, "HostConfig": host}).encode()
    variants: dict[str, tuple[str, Request]] = {
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
    if not allowed:  # engines without the fix of CVE-2024-41110 omit chunked bodies from messages
        chunked = Request("POST", "/containers/create", json_, privileged, chunked=True)
        variants["chunked"] = ("in a chunked body", chunked)
    for id_, (how, request) in variants.items():
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
        permitted=False,
        rules=("request.query",),
    )


def _example_value(values: list[str]) -> str:
    return next(iter(values), "").replace("*", NOTHING)
