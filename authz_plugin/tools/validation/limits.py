"""Attempts to break one requirement of the configuration each, as in ``boundaries``.

The requirements are those on users, hardening, resources, images, networks, ports and labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.validation.attempts import Attempt, AttemptFactory
from authz_plugin.tools.validation.expected_policy import (
    Config,
    allows_bind_mount,
    allows_port,
    matches_any,
)
from authz_plugin.tools.validation.probes import NOTHING

_MEBIBYTE: Final = 1 << 20
_BILLION: Final = 1_000_000_000
_LOWEST_OOM_SCORE: Final = -1000
_HIGH_ULIMIT: Final = 1 << 30
_UNLISTED_IMAGE: Final = "opa-authz.invalid/elsewhere"
_SSHD: Final = ("/usr/sbin/sshd", "-D")


def limits(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    """Yield the attempts for a configuration."""
    yield from _users(config, create)
    yield from _hardening(config, create)
    yield from _settings(config, create)
    yield from _unlimited_resources(config, create)
    yield from _resource_ceilings(config, create)
    yield from _images(config, create)
    yield from _networks(config, create)
    yield from _protected_paths(config, create)
    for name in config["labels"]["required"]:
        rules = ("labels.required",)
        yield create(f"labels.{name}", f"a container without label {name}", permitted=False,
                     rules=rules, top={"Labels": {}})  # fmt: skip


def _users(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    users = config["users"]
    yield create("users.container", "a container that runs as root", "root" in users["containers"],
                 ("users.container",), top={"User": "0"})  # fmt: skip
    yield create("users.group", "a container in root's group", "root" in users["groups"],
                 ("users.group",), top={"User": "1000:0"})  # fmt: skip
    exec_ = {"Cmd": ["true"], "User": "0"}
    yield Attempt(
        "users.exec",
        "an exec as root",
        Request.of_json("POST", f"/containers/{NOTHING}/exec", exec_),
        "root" in users["execs"],
        ("users.exec",),
    )


def _hardening(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    hardening = config["hardening"]
    yield create("hardening.read-only-root", "a container with a writable root",
                 not hardening["read_only_root"], ("hardening.read-only-root",),
                 ReadonlyRootfs=False)  # fmt: skip
    yield create("hardening.no-new-privileges", "a container without no-new-privileges",
                 not hardening["no_new_privileges"], ("hardening.no-new-privileges",),
                 SecurityOpt=[])  # fmt: skip
    yield create("hardening.drop", "a container that drops no capability", not hardening["drop"],
                 ("hardening.drop",), CapDrop=[])  # fmt: skip
    yield create("hardening.healthcheck", "a container without health check",
                 not hardening["healthcheck"], ("hardening.healthcheck",),
                 top={"Healthcheck": None})  # fmt: skip


def _settings(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    containers = config["containers"]
    values: tuple[tuple[str, str, bool, dict[str, Any]], ...] = (
        ("runtime", NOTHING, matches_any(containers["runtimes"], NOTHING), {"Runtime": NOTHING}),
        (
            "cgroup-parent",
            "/system.slice",
            matches_any(containers["cgroup_parents"], "/system.slice"),
            {"CgroupParent": "/system.slice"},
        ),
        ("group", "root", matches_any(containers["groups"], "0"), {"GroupAdd": ["0"]}),
        (
            "restart",
            "always",
            "always" in containers["restart"],
            {"RestartPolicy": {"Name": "always"}},
        ),
        (
            "annotation",
            NOTHING,
            matches_any(containers["annotations"], NOTHING),
            {"Annotations": {NOTHING: "1"}},
        ),
        (
            "storage-option",
            "size",
            matches_any(containers["storage_options"], "size"),
            {"StorageOpt": {"size": "1G"}},
        ),
    )
    for id_, value, permitted, changes in values:
        title = f"{id_.replace('-', ' ')} {value}"
        yield create(f"containers.{id_}", title, permitted, (f"containers.{id_}",), **changes)
    yield create("containers.restart-retries", "restarts on failure without end",
                 "on-failure" in containers["restart"] and containers["restart_retries"] is None,
                 ("containers.restart-retries", "containers.restart"),
                 RestartPolicy={"Name": "on-failure"})  # fmt: skip
    yield create("containers.command", "a container that runs sshd",
                 not any(matches_any(containers["deny_commands"], word) for word in _SSHD),
                 ("containers.command",), top={"Cmd": list(_SSHD)})  # fmt: skip
    yield create("sysctls", "kernel parameter kernel.msgmax",
                 matches_any(config["sysctls"]["allow"], "kernel.msgmax"), ("sysctls.name",),
                 Sysctls={"kernel.msgmax": "65536"})  # fmt: skip
    yield create("logging.driver", "log driver syslog",
                 matches_any(config["logging"]["drivers"], "syslog"), ("logging.driver",),
                 LogConfig={"Type": "syslog"})  # fmt: skip


def _unlimited_resources(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    resources = config["resources"]
    for name, field in (("cpus", "NanoCpus"), ("memory", "Memory"), ("pids", "PidsLimit")):
        none: dict[str, Any] = {field: 0}
        permitted = name not in resources["required"] and resources["max"][name] is None
        yield create(f"resources.{name}.none", f"a container without limit of {name}", permitted,
                     ("resources.required", "resources.max"), **none)  # fmt: skip


def _resource_ceilings(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    resources = config["resources"]
    most = resources["max"]
    above: dict[str, dict[str, Any]] = {
        name: changes
        for name, changes in (
            ("cpus", {"NanoCpus": int(((most["cpus"] or 0) + 1) * _BILLION)}),
            ("memory", {"Memory": (most["memory"] or 0) + _MEBIBYTE}),
            ("pids", {"PidsLimit": (most["pids"] or 0) + 1}),
            ("shm", {"ShmSize": (most["shm"] or 0) + _MEBIBYTE}),
        )
        if most[name] is not None
    }
    for name, changes in above.items():
        title = f"more {name} than {most[name]}"
        rules = ("resources.max",)
        yield create(f"resources.{name}.max", title, permitted=False, rules=rules, **changes)
    nofile = resources["ulimits"].get("nofile", 0)
    yield create("resources.ulimit", f"ulimit nofile={_HIGH_ULIMIT}",
                 nofile is None or nofile >= _HIGH_ULIMIT,
                 ("resources.ulimit",),
                 Ulimits=[{"Name": "nofile", "Soft": 1, "Hard": _HIGH_ULIMIT}])  # fmt: skip
    yield create("resources.oom-score", "a container that the OOM killer takes last",
                 resources["oom_score"] <= _LOWEST_OOM_SCORE, ("resources.oom-score",),
                 OomScoreAdj=_LOWEST_OOM_SCORE)  # fmt: skip
    yield create("resources.oom-kill", "a container that the OOM killer never takes",
                 resources["oom_kill_disable"], ("resources.oom-kill",),
                 OomKillDisable=True)  # fmt: skip


def _images(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    images = config["images"]
    by_name = images["digest"] == "any"
    rules = ("images.",)
    yield create("images.source", f"image {_UNLISTED_IMAGE}:1",
                 by_name and matches_any(images["allow"], f"{_UNLISTED_IMAGE}:1"), rules,
                 top={"Image": f"{_UNLISTED_IMAGE}:1"})  # fmt: skip
    yield create("images.latest", "an image as latest",
                 by_name
                 and images["latest"]
                 and matches_any(images["allow"], f"docker.io/library/{NOTHING}:latest"),
                 rules, top={"Image": f"{NOTHING}:latest"})  # fmt: skip


def _networks(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    networks, ports = config["networks"], config["ports"]
    yield create("networks.default-bridge", "the default bridge", networks["default_bridge"],
                 ("networks.default-bridge",), NetworkMode="bridge")  # fmt: skip
    yield create("networks.link", "a link to another container", networks["links"],
                 ("networks.link",), Links=[f"{NOTHING}:db"])  # fmt: skip
    yield create("networks.host-gateway", "the host's gateway in the hosts file",
                 networks["extra_hosts"] and networks["host_gateway"], ("networks.extra-host",),
                 ExtraHosts=["host:host-gateway"])  # fmt: skip
    yield create("networks.dns", "a DNS server of one's own", networks["dns"], ("networks.dns",),
                 Dns=["192.0.2.1"])  # fmt: skip
    yield create("networks.join", "a network by name", matches_any(networks["join"], NOTHING),
                 ("networks.join",), NetworkMode=NOTHING)  # fmt: skip
    for port in (22, 80, 8080):
        binding = {f"{port}/tcp": [{"HostPort": str(port)}]}
        yield create(f"ports.{port}", f"port {port} of the host", allows_port(config, port),
                     ("ports.range", "ports.address"), PortBindings=binding)  # fmt: skip
    yield create("ports.publish-all", "all ports of an image", ports["publish_all"],
                 ("ports.publish-all",), PublishAllPorts=True)  # fmt: skip


def _protected_paths(config: Config, create: AttemptFactory) -> Iterator[Attempt]:
    for path in config["guard"]["paths"]:
        yield create(f"guard.{path}", f"bind mount of {path}, which guards this host",
                     path in config["guard"]["unprotected_paths"]
                     and allows_bind_mount(config, path),
                     ("guard.", "mounts."), Binds=[f"{path}:/data"])  # fmt: skip
