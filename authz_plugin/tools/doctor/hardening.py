"""Checks of dockerd's hardening, after section 2 of the CIS Docker Benchmark.

They read dockerd's command line, daemon.json and ``GET /info``. None of them is critical, since
authorization is enforced whatever they find.
"""

from __future__ import annotations

import http
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from authz_plugin.tools.docker_client import Endpoint, exchange
from authz_plugin.tools.doctor.finding import Finding, Severity
from authz_plugin.tools.doctor.host import Host
from authz_plugin.tools.validation.probes import PROBES

_LOCAL_LOGS: Final = frozenset({"json-file", "local", "none"})
_MODULES: Final = {"apparmor": "AppArmor", "selinux": "SELinux"}


@dataclass(frozen=True, slots=True)
class _Setting:
    """A setting of dockerd, by its flag and its key in daemon.json.

    ``default`` is dockerd's own default. ``accepts`` returns whether a value is recommended;
    ``ok_text`` and ``problem_text`` are the findings' texts, in which ``{}`` stands for the value.
    """

    id: str
    flag: str
    key: str
    default: str
    accepts: Callable[[str], bool]
    ok_text: str
    problem_text: str
    why: str
    fix: str
    severity: Severity = "info"


def _equals(wanted: str) -> Callable[[str], bool]:
    return lambda value: value.lower() == wanted


_SETTINGS: Final = (
    _Setting(
        "dockerd.icc", "--icc", "icc", "true", _equals("false"),
        "containers on the default bridge cannot reach each other",
        "containers on the default bridge reach each other (icc)",
        "a container that was taken over can attack its neighbours",
        'set {"icc": false}, or keep containers off that network (networks.default_bridge)',
    ),
    _Setting(
        "dockerd.iptables", "--iptables", "iptables", "true", _equals("true"),
        "dockerd keeps containers' networks apart with rules of iptables",
        "dockerd may not change iptables",
        "containers' networks are then only as far apart as somebody else's rules keep them",
        'take {"iptables": false} out, unless you make these rules yourself',
    ),
    _Setting(
        "dockerd.insecure-registry", "--insecure-registry", "insecure-registries", "", _equals(""),
        "every registry that is not on this host must show a certificate",
        "registries that need show no certificate: {}",
        "whoever is on the way there can put images of their own in the place of yours",
        "give the registry a certificate, and take it off this list",
        "warning",
    ),
    _Setting(
        "dockerd.ulimit", "--default-ulimit", "default-ulimits", "", bool,
        "containers start with ulimits that were set for them",
        "containers start with the ulimits that dockerd itself has",
        "those are made for a service that opens many files",
        'set {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 65536}}}',
    ),
    _Setting(
        "dockerd.cgroup-parent", "--cgroup-parent", "cgroup-parent", "", _equals(""),
        "containers run below dockerd's usual cgroup",
        "containers run below cgroup {}",
        "whatever limits the usual one has do not count there",
        "see that limits are set there too, or take cgroup-parent out",
    ),
    _Setting(
        "dockerd.base-size", "--storage-opt", "storage-opts", "",
        lambda value: "dm.basesize" not in value,
        "the base device's size is as shipped",
        "the base device's size was changed: {}",
        "images and containers can then take more of the disk",
        "take dm.basesize out, unless you need it",
    ),
    _Setting(
        "dockerd.log-driver", "--log-driver", "log-driver", "json-file",
        lambda value: value not in _LOCAL_LOGS,
        "containers' output is sent on by log driver {}",
        "containers' output stays on this host (log driver {})",
        "who takes the host over can change what was written",
        "set a log driver that sends it away, or have these logs collected by something else",
    ),
    _Setting(
        "dockerd.no-new-privileges", "--no-new-privileges", "no-new-privileges", "false",
        _equals("true"),
        "containers start with no-new-privileges unless they ask otherwise",
        "containers start without no-new-privileges unless they ask for it",
        "a setuid program in a container can become root there",
        'set {"no-new-privileges": true}, or have the policy require it '
        "(hardening.no_new_privileges)",
    ),
    _Setting(
        "dockerd.live-restore", "--live-restore", "live-restore", "false", _equals("true"),
        "containers go on while dockerd is restarted",
        "containers stop with dockerd",
        "updates of dockerd are put off because of it",
        'set {"live-restore": true}; swarm mode excludes it',
    ),
    _Setting(
        "dockerd.userland-proxy", "--userland-proxy", "userland-proxy", "true", _equals("false"),
        "published ports need no userland proxy",
        "a userland proxy stands behind every published port",
        "it is one more program that listens, and containers see the host as every client",
        'set {"userland-proxy": false}, if the kernel does hairpin NAT',
    ),
    _Setting(
        "dockerd.experimental", "--experimental", "experimental", "false", _equals("false"),
        "experimental features are off",
        "experimental features are on",
        "they may change, and were looked at less",
        'take {"experimental": true} out where nothing needs it',
    ),
)  # fmt: skip


def check_dockerd_settings(host: Host) -> Iterator[Finding]:
    """Check dockerd's settings, if both its command line and its daemon.json can be read."""
    if host.dockerd is None or host.daemon_file.problem:
        return
    yield _rootless(host)
    yield _log_level(host)
    for setting in _SETTINGS:
        given = [value for value in host.setting(setting.flag, setting.key) if value != "{}"]
        value = ", ".join(given) or setting.default
        if setting.accepts(value):
            yield Finding(setting.id, "ok", setting.ok_text.format(value))
        else:
            problem = setting.problem_text.format(value)
            yield Finding(setting.id, setting.severity, problem, setting.why, setting.fix)


def check_dockerd_info(endpoint: Endpoint) -> Iterator[Finding]:
    """Check what ``GET /info`` reports; raises ``EndpointError`` if dockerd does not answer."""
    reply = exchange(endpoint, PROBES["system.info"])
    if reply.status != http.HTTPStatus.OK:
        yield Finding(
            "dockerd.info",
            "info",
            "dockerd's account of itself could not be read",
            f"dockerd says: {reply.message[:200]}",
            "run doctor as a caller that may read section info",
        )
        return
    info = reply.json()
    options = _security_options(info)
    yield _swarm(str((info.get("Swarm") or {}).get("LocalNodeState", "")))
    yield _storage_driver(str(info.get("Driver", "")))
    yield _seccomp(options)
    yield _confinement(options)


def _rootless(host: Host) -> Finding:
    if host.is_rootless:
        return Finding("dockerd.rootless", "ok", "dockerd does not run as root")
    return Finding(
        "dockerd.rootless",
        "info",
        "dockerd runs as root",
        "a defect in it, or in what it starts, is a defect of root's",
        "consider rootless mode, if what your containers need works there",
    )


def _log_level(host: Host) -> Finding:
    """Check the log level; dockerd's ``debug`` overrides ``log-level``."""
    level = (host.setting("--log-level", "log-level") or ["info"])[-1]
    if {"true", "1"} & set(host.setting("--debug", "debug")):
        level = "debug"
    if level == "info":
        return Finding("dockerd.log-level", "ok", "dockerd logs at level info")
    return Finding(
        "dockerd.log-level",
        "info",
        f"dockerd logs at level {level}",
        "debug drowns what matters and may show what should not be in logs; the levels above info "
        "leave out what is looked for after an incident",
        'set {"log-level": "info", "debug": false}',
    )


def _security_options(info: dict[str, Any]) -> dict[str, str]:
    """Return ``["name=seccomp,profile=builtin"]`` as ``{"seccomp": "profile=builtin"}``."""
    found = {}
    for option in info.get("SecurityOptions") or []:
        name, _, rest = str(option).partition(",")
        found[name.removeprefix("name=")] = rest
    return found


def _swarm(state: str) -> Finding:
    if state == "inactive":
        return Finding("dockerd.swarm", "ok", "swarm mode is off")
    return Finding(
        "dockerd.swarm",
        "info",
        f"swarm mode is {state or 'not spoken of'}",
        "it opens ports to other nodes, and managers decide what runs here",
        "`docker swarm leave`, where nothing needs it",
    )


def _storage_driver(driver: str) -> Finding:
    if driver and driver != "aufs":
        return Finding("dockerd.storage-driver", "ok", f"storage driver {driver}")
    return Finding(
        "dockerd.storage-driver",
        "info",
        f"storage driver {driver or 'unknown'}",
        "aufs is no part of the kernel and is not looked after any more",
        "use overlay2; images are stored anew then",
    )


def _seccomp(options: dict[str, str]) -> Finding:
    profile = options.get("seccomp", "").removeprefix("profile=")
    if profile and profile != "unconfined":
        return Finding("dockerd.seccomp", "ok", f"containers start with seccomp profile {profile}")
    return Finding(
        "dockerd.seccomp",
        "warning",
        "containers start without a seccomp profile",
        "the policy judges what requests ask for, and this is what they get without asking",
        'take {"seccomp-profile": "unconfined"} out, and use a kernel that has seccomp',
    )


def _confinement(options: dict[str, str]) -> Finding:
    found = [name for module, name in _MODULES.items() if module in options]
    if found:
        what = f"{' and '.join(found)} confines containers"
        return Finding("dockerd.confinement", "ok", what)
    return Finding(
        "dockerd.confinement",
        "info",
        "neither AppArmor nor SELinux confines containers",
        "what gets past namespaces, capabilities and seccomp meets no further wall",
        "switch one of them on in the kernel of this host, SELinux in daemon.json too",
    )
