"""Fields of a container create request that weaken its isolation from the host."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import NO_CONTAINER, NO_IMAGE, host_config_entry
from authz_plugin.tools.attack.model import CatalogueAttack, Family

HARDENING: Final = Family("hardening", "What takes a container's hardening away")

_IMPACT_NAMESPACE: Final = "what the namespace keeps apart is shared with the host"
_IMPACT_OTHER: Final = "another container's processes, memory or network are this one's too"
_IMPACT_CAPABILITY: Final = "the kernel does for the container what it does for root of the host"
_IMPACT_DEVICE: Final = "a device of the host: disks are read past every permission, memory written"
_IMPACT_OPTION: Final = "a wall between the container and the kernel is down"
_IMPACT_PROC: Final = "/proc files that steer the host (sysrq-trigger, kcore) are in reach"
_IMPACT_CGROUP: Final = "limits of others count, or none"


def _namespace(id_: str, title: str, host: dict[str, Any]) -> CatalogueAttack:
    return host_config_entry(
        HARDENING, id_, title, host, rule="namespaces.host", impact=_IMPACT_NAMESPACE
    )


def _other(id_: str, title: str, host: dict[str, Any], **more: Any) -> CatalogueAttack:
    return host_config_entry(
        HARDENING, id_, title, host,
        success_errors=f"{NO_IMAGE}|{NO_CONTAINER}", rule="namespaces.container",
        impact=_IMPACT_OTHER, **more,
    )  # fmt: skip


def _capability(id_: str, title: str, name: str) -> CatalogueAttack:
    host = {"CapAdd": [name]}
    return host_config_entry(
        HARDENING, id_, title, host, rule="capabilities.add", impact=_IMPACT_CAPABILITY
    )


def _device(id_: str, title: str, rule: str, host: dict[str, Any]) -> CatalogueAttack:
    return host_config_entry(HARDENING, id_, title, host, rule=rule, impact=_IMPACT_DEVICE)


def _option(id_: str, *options: str, refusal_errors: str = "") -> CatalogueAttack:
    title = f"Security option {' and '.join(options)}"
    return host_config_entry(
        HARDENING, f"option-{id_}", title, {"SecurityOpt": list(options)},
        rule="security-options.value", impact=_IMPACT_OPTION, refusal_errors=refusal_errors,
    )  # fmt: skip


def _paths(id_: str, title: str, host: dict[str, Any]) -> CatalogueAttack:
    return host_config_entry(
        HARDENING, id_, title, host, rule="security-options.paths", impact=_IMPACT_PROC
    )


def _mapping(path: str) -> dict[str, Any]:
    device = {"PathOnHost": path, "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}
    return {"Devices": [device]}


ROWS: Final = (
    _namespace("ipc", "The host's IPC namespace", {"IpcMode": "host"}),
    _namespace("uts", "The host's UTS namespace", {"UTSMode": "host"}),
    _namespace("user", "The host's user namespace", {"UsernsMode": "host"}),
    _namespace("cgroup", "The host's cgroup namespace", {"CgroupnsMode": "host"}),
    _other("network-other", "Another container's network",
           {"NetworkMode": "container:<own>"}, value="container:<own_id>"),
    _other("pid-other", "Another container's processes",
           {"PidMode": "container:<own>"}, value="container:<own_id>"),
    _other("cgroup-other", "Another container's cgroup", {"Cgroup": "container:<own>"}),
    _capability("capability", "Capability CAP_SYS_MODULE, by its full name", "CAP_SYS_MODULE"),
    _capability("capability-case", "Capability sys_ptrace, in lower case", "sys_ptrace"),
    _capability("capability-mixed", "Capability cAp_DaC_rEaD_sEaRcH", "cAp_DaC_rEaD_sEaRcH"),
    _capability("capability-all", "Every capability, as all", "all"),
    _device("device", "The device /dev/mem", "devices.mapping", _mapping("/dev/mem")),
    _device("devices", "Every device, by the folder /dev", "devices.mapping", _mapping("/dev")),
    _device("device-rule", "Every block device, by cgroup rule", "devices.cgroup-rule",
            {"DeviceCgroupRules": ["b *:* rwm"]}),
    _device("device-gpu", "Devices by request: GPUs", "devices.request",
            {"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}),
    _device("device-cdi", "Devices by request: the driver cdi, which may add mounts",
            "devices.request",
            {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["a.b/c=all"]}]}),
    _option("seccomp", "seccomp=unconfined"),
    _option("seccomp-colon", "seccomp:unconfined"),
    _option("seccomp-own", 'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'),
    _option("apparmor", "apparmor=unconfined"),
    _option("apparmor-colon", "apparmor:unconfined"),
    _option("label", "label=disable"),
    _option("label-colon", "label:disable"),
    _option("label-bare", "disable"),
    _option("label-type", "label=type:spc_t"),
    _option("privileges", "no-new-privileges=false"),
    _option("privileges-last", "no-new-privileges:true", "no-new-privileges:false"),
    _option("system-paths", "systempaths=unconfined", refusal_errors="invalid --security-opt"),
    _option("cgroups", "writable-cgroups=true", refusal_errors="invalid --security-opt"),
    _paths("masked", "No masked paths", {"MaskedPaths": []}),
    _paths("masked-less", "Fewer masked paths", {"MaskedPaths": ["/proc/acpi"]}),
    _paths("read-only", "No read-only paths", {"ReadonlyPaths": []}),
    host_config_entry(HARDENING, "cgroup-parent", "The cgroup of the host's services",
        {"CgroupParent": "/system.slice"}, rule="containers.cgroup-parent",
        impact=_IMPACT_CGROUP),
    host_config_entry(HARDENING, "runtime", "Another runtime",
        {"Runtime": "io.containerd.runtime.v1.linux"},
        rule="containers.runtime", impact="a program of the host's that dockerd runs as root",
        refusal_errors="unknown or invalid runtime"),
    host_config_entry(HARDENING, "sysctl", "A parameter of the kernel",
        {"Sysctls": {"kernel.msgmax": "1"}}, rule="sysctls.name",
        impact="the kernel is tuned from within"),
    host_config_entry(HARDENING, "group", "The group docker", {"GroupAdd": ["docker"]},
        rule="containers.group", impact="files of the host that a group may read and write"),
    host_config_entry(HARDENING, "annotation", "An annotation for the runtime",
        {"Annotations": {"run.oci.handler": "wasm"}}, rule="containers.annotation",
        impact="some runtimes change a container's isolation at an annotation"),
    host_config_entry(HARDENING, "out-of-memory", "Never the one to be killed",
        {"OomScoreAdj": -1000},
        rule="resources.oom-score", impact="the host kills everything else first"),
    host_config_entry(HARDENING, "real-time", "Real-time scheduling", {"CpuRealtimeRuntime": 1000},
        rule="resources.realtime", impact="the host's own processes wait",
        refusal_errors="real-time|realtime"),
)  # fmt: skip
