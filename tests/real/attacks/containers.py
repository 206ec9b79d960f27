"""Every field of a container that gives it more than a container should have."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import post
from tests.harness.dockerd import IMAGE
from tests.harness.engines import ENGINES, NEWEST
from tests.real.attacks.model import (
    AttackCase,
    EngineRefusal,
    Table,
    after_20,
    from_28,
    on_all,
    shows,
)

_LIMITED: Final[dict[str, Any]] = {"production": None, "devcontainer": None}
"""Both profiles leave this to the operator; the strict policy does not."""

_hardening = Table("hardening", "What takes a container's hardening away")


def _option(option: str, rule: str = "security-options.value", **more: Any) -> AttackCase:
    return _hardening.host(f"SecurityOpt {option}", {"SecurityOpt": [option]}, rule, **more)


HARDENING: Final = (
    _hardening.host("Privileged", {"Privileged": True}, "privileged.container"),
    _hardening.host("CapAdd", {"CapAdd": ["CAP_SYS_ADMIN"]}, "capabilities.add"),
    _hardening.create(
        "CapAdd in lower case, without CAP_",
        {"HostConfig": {"CapAdd": ["sys_module"]}},
        "capabilities.add",
        "HostConfig.CapAdd.0",
        "sys_module",
    ),
    _hardening.create(
        "CapAdd of all",
        {"HostConfig": {"CapAdd": ["all"]}},
        "capabilities.add",
        "HostConfig.CapAdd.0",
        "all",
    ),
    _hardening.create(
        "A device",
        {"HostConfig": {"Devices": [{"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg"}]}},
        "devices.mapping",
        "HostConfig.Devices.0.PathOnHost",
        "/dev/kmsg",
    ),
    _hardening.create(
        "A folder of devices",
        {"HostConfig": {"Devices": [{"PathOnHost": "/dev", "PathInContainer": "/dev/x"}]}},
        "devices.mapping",
        "HostConfig.Devices.0.PathOnHost",
        "/dev",
    ),
    _hardening.host(
        "DeviceCgroupRules", {"DeviceCgroupRules": ["b *:* rwm"]}, "devices.cgroup-rule"
    ),
    _hardening.create(
        "DeviceRequests of a GPU",
        {"HostConfig": {"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}},
        "devices.request",
        "HostConfig.DeviceRequests.0.Count",
        -1,
    ),
    _hardening.create(
        "DeviceRequests of the driver cdi",
        {"HostConfig": {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["a.b/c=all"]}]}},
        "devices.request",
        "HostConfig.DeviceRequests.0.Driver",
        "cdi",
    ),
    _hardening.host("PidMode host", {"PidMode": "host"}, "namespaces.host"),
    _hardening.create(
        "PidMode of another container",
        {"HostConfig": {"PidMode": "container:running"}},
        "namespaces.container",
        "HostConfig.PidMode",
        "container:<running>",
    ),
    _hardening.host("IpcMode host", {"IpcMode": "host"}, "namespaces.host"),
    _hardening.create(
        "IpcMode of another container",
        {"HostConfig": {"IpcMode": "container:shareable"}},
        "namespaces.container",
        "HostConfig.IpcMode",
        "container:<shareable>",
    ),
    _hardening.host("UTSMode host", {"UTSMode": "host"}, "namespaces.host"),
    _hardening.host("UsernsMode host", {"UsernsMode": "host"}, "namespaces.host"),
    _hardening.host("NetworkMode host", {"NetworkMode": "host"}, "namespaces.host"),
    _hardening.create(
        "NetworkMode of another container",
        {"HostConfig": {"NetworkMode": "container:running"}},
        "namespaces.container",
        "HostConfig.NetworkMode",
        "container:<running>",
    ),
    _hardening.host("CgroupnsMode host", {"CgroupnsMode": "host"}, "namespaces.host"),
    _hardening.host("CgroupParent", {"CgroupParent": "/system.slice"}, "containers.cgroup-parent"),
    _hardening.host(
        "Cgroup of another container", {"Cgroup": "container:running"}, "namespaces.container"
    ),
    _option("seccomp=unconfined"),
    _option("seccomp:unconfined"),
    _option('seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'),
    _option("apparmor=unconfined"),
    _option("apparmor:unconfined"),
    _option("label=disable"),
    _option("label:disable"),
    _option("disable"),
    _option("label=user:system_u"),
    _option("label=type:spc_t"),
    _option("no-new-privileges=false"),
    _option("systempaths=unconfined", refusals=on_all(EngineRefusal(500, "leaves it to clients"))),
    _option(
        "writable-cgroups=true",
        refusals={
            "20.10": EngineRefusal(500, "knows no such option"),
            "26.1": EngineRefusal(500, "knows no such option"),
        },
    ),
    _hardening.host(
        "SecurityOpt no-new-privileges, false the last",
        {"SecurityOpt": ["no-new-privileges:true", "no-new-privileges:false"]},
        "security-options.value",
    ),
    _hardening.host("MaskedPaths of nothing", {"MaskedPaths": []}, "security-options.paths"),
    _hardening.host("ReadonlyPaths of nothing", {"ReadonlyPaths": []}, "security-options.paths"),
    _hardening.host(
        "MaskedPaths of less", {"MaskedPaths": ["/proc/kcore"]}, "security-options.paths"
    ),
    _hardening.host("Runtime", {"Runtime": "io.containerd.runtime.v1.linux"}, "containers.runtime"),
    *(
        _hardening.create(
            f"Runtime at the top level, {where}",
            {"Runtime": "io.containerd.runtime.v1.linux", **host_config},
            "containers.runtime",
            "HostConfig.Runtime",
            "io.containerd.runtime.v1.linux",
            refusals=refusals(EngineRefusal(201, "ignores it")),
        )
        for where, host_config, refusals in (
            ("without HostConfig", {}, from_28),
            ("HostConfig null", {"HostConfig": None}, from_28),
            ("beside a HostConfig", {"HostConfig": {}}, on_all),
            ("beside another", {"HostConfig": {"Runtime": "runc"}}, on_all),
        )
    ),
    _hardening.host("Sysctls of the kernel", {"Sysctls": {"kernel.msgmax": "1"}}, "sysctls.name"),
    _hardening.host(
        "Sysctls of the network", {"Sysctls": {"net.ipv4.ip_forward": "1"}}, "sysctls.name"
    ),
    _hardening.host("GroupAdd", {"GroupAdd": ["docker"]}, "containers.group"),
    _hardening.host(
        "Annotations",
        {"Annotations": {"run.oci.handler": "wasm"}},
        "containers.annotation",
        refusals={"20.10": EngineRefusal(201, "ignores them")},
    ),
    _hardening.host(
        "StorageOpt",
        {"StorageOpt": {"size": "100G"}},
        "containers.storage-option",
        refusals=dict.fromkeys(ENGINES[:-1], EngineRefusal(500, "has no quotas on this disk")),
    ),
    _hardening.create(
        "User root", {"User": "root"}, "users.container", "Config.User", "root", **_LIMITED
    ),
    _hardening.create(
        "User 00", {"User": "00"}, "users.container", "Config.User", "00", **_LIMITED
    ),
    _hardening.create(
        "User 0000:5", {"User": "0000:5"}, "users.container", "Config.User", "0000:5", **_LIMITED
    ),
    _hardening.create(
        "User +0", {"User": "+0"}, "users.container", "Config.User", "+0", **_LIMITED
    ),
)

_mounts = Table("mounts", "Ways to the host's files")


def _bind(title: str, bind: str, rule: str = "mounts.source", **more: Any) -> AttackCase:
    return _mounts.create(
        title, {"HostConfig": {"Binds": [bind]}}, rule, "HostConfig.Binds.0", bind, **more
    )


def _mount(title: str, mount: dict[str, Any], rule: str, **more: Any) -> AttackCase:
    place, value = more.pop("at", "Type"), more.pop("value", mount.get("Type"))
    return _mounts.create(
        title,
        {"HostConfig": {"Mounts": [{"Target": "/h", **mount}]}},
        rule,
        f"HostConfig.Mounts.0.{place}",
        value,
        **more,
    )


def _driver(title: str, options: dict[str, str], rule: str, **more: Any) -> AttackCase:
    mount = {
        "Type": "volume",
        "Source": "<name>",
        "VolumeOptions": {"DriverConfig": {"Options": options}},
    }
    more |= {"at": "VolumeOptions.DriverConfig.Options", "value": options}
    return _mount(title, mount, rule, **more)


MOUNTS: Final = (
    _bind("Binds /", "/:/h"),
    _bind("Binds /etc, read-only and relabelled", "/etc:/h:ro,z"),
    _bind("Binds //etc", "//etc:/h"),
    _bind("Binds /../etc", "/../etc:/h"),
    _bind("Binds out of the workspace by ..", "/workspace/../etc:/h"),
    _bind("Binds out of the workspace by a link", "<workspace>/link:/h"),
    _bind("Binds out of the workspace by a link and a missing folder", "<workspace>/link/new:/h"),
    _bind("Binds of a folder whose name begins like the workspace", "/workspace2:/h"),
    _bind("Binds the Docker socket", "/var/run/docker.sock:/s", "mounts.protected"),
    _bind("Binds the folder of the Docker socket", "/run:/h", "mounts.protected"),
    _bind("Binds dockerd's plugins", "/run/docker/plugins:/h", "guard.mount"),
    _bind("Binds dockerd's settings", "/etc/docker:/h", "guard.mount"),
    _bind("Binds /proc", "/proc:/h"),
    _bind(
        "Binds with shared propagation",
        "<workspace>:/h:rshared",
        "mounts.propagation",
        production="mounts.source",
    ),
    _bind("Binds of a named volume", "shared:/h", "volumes.named", devcontainer=None, strict=None),
    _mounts.create(
        "Binds of a named volume by a driver",
        {"HostConfig": {"Binds": ["<name>:/h"], "VolumeDriver": "<driver>"}},
        "volumes.driver",
        "HostConfig.VolumeDriver",
        "<driver>",
    ),
    _mount("A Mount of type bind", {"Type": "bind", "Source": "/etc"}, "mounts.source"),
    _mount(
        "A Mount of type bind, the source not clean",
        {"Type": "bind", "Source": "<workspace>/./../../../../../../../etc"},
        "mounts.source",
    ),
    _mount(
        "A Mount that makes its source",
        {"Type": "bind", "Source": "/run/<name>", "BindOptions": {"CreateMountpoint": True}},
        "mounts.source",
        refusals={"20.10": EngineRefusal(400, "makes no source")},
    ),
    _driver(
        "A volume that is a bind",
        {"type": "none", "o": "bind", "device": "/"},
        "mounts.source",
    ),
    _driver(
        "A volume that is a bind, called ext4",
        {"type": "ext4", "o": "ro,rbind", "device": "/etc"},
        "mounts.source",
    ),
    _driver(
        "A volume that is a bind, its device not clean",
        {"type": "none", "o": "bind", "device": "<workspace>/link/../passwd"},
        "mounts.source",
    ),
    _driver("A volume that is a disk", {"type": "ext4", "device": "/dev/vda"}, "volumes.options"),
    _driver(
        "A volume that is an overlay of the host",
        {"type": "overlay", "o": "lowerdir=/:/etc", "device": "overlay"},
        "volumes.options",
    ),
    _driver(
        "A volume that is a network share",
        {"type": "nfs", "o": "addr=127.0.0.1", "device": ":/"},
        "volumes.options",
    ),
    _driver(
        "A volume that is the host's processes",
        {"type": "proc", "device": "proc"},
        "volumes.options",
    ),
    _mount(
        "An anonymous volume that is a bind",
        {
            "Type": "volume",
            "VolumeOptions": {
                "DriverConfig": {"Options": {"type": "none", "o": "bind", "device": "/etc"}}
            },
        },
        "mounts.source",
        at="VolumeOptions.DriverConfig.Options.device",
        value="/etc",
    ),
    _mount(
        "A volume's Subpath that climbs",
        {"Type": "volume", "Source": "shared", "VolumeOptions": {"Subpath": "../../../etc"}},
        "volumes.named",
        devcontainer=None,
        strict=None,
        refusals=after_20(EngineRefusal(400, "lets no Subpath climb")),
    ),
    _mount(
        "A Mount of type image",
        {"Type": "image", "Source": IMAGE},
        "mounts.type",
        refusals={
            "20.10": EngineRefusal(400, "knows no such type"),
            "26.1": EngineRefusal(400, "knows no such type"),
        },
        **_LIMITED,
    ),
    _mount(
        "A Mount of type npipe",
        {"Type": "npipe", "Source": "x"},
        "mounts.type",
        refusals=on_all(EngineRefusal(400, "knows no such type")),
    ),
    _mount(
        "A Mount of type cluster",
        {"Type": "cluster", "Source": "<name>"},
        "mounts.type",
        refusals=on_all(EngineRefusal(400, "knows no such type")),
    ),
    _mount(
        "A Mount of an unknown type",
        {"Type": "glusterfs", "Source": "/"},
        "mounts.type",
        refusals=on_all(EngineRefusal(400, "knows no such type")),
    ),
    _mount(
        "A Mount of type tmpfs with exec",
        {"Type": "tmpfs", "TmpfsOptions": {"Options": [["exec"]]}},
        "tmpfs.option",
    ),
    _mounts.host(
        "Tmpfs with exec, suid and dev", {"Tmpfs": {"/t": "exec,suid,dev"}}, "tmpfs.option"
    ),
    _mounts.host("VolumesFrom", {"VolumesFrom": ["hostly:rw"]}, "mounts.volumes-from"),
    _mounts.create(
        "VolumesFrom by a prefix of the id",
        {"HostConfig": {"VolumesFrom": ["<hostly_prefix>"]}},
        "mounts.volumes-from",
        "HostConfig.VolumesFrom.0",
        "<hostly_prefix>",
    ),
    _mounts.host(
        "A limit for a disk of the host",
        {"BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1}]},
        "resources.block-device",
    ),
    _mounts.host(
        "A log driver that sends elsewhere",
        {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://127.0.0.1:1"}}},
        "logging.driver",
    ),
    _mounts.host(
        "A log driver that reads a file as root",
        {
            "LogConfig": {
                "Type": "splunk",
                "Config": {
                    "splunk-token": "x",
                    "splunk-url": "https://127.0.0.1:1",
                    "splunk-capath": "/etc/shadow",
                },
            }
        },
        "logging.driver",
    ),
)

_connections = Table("connections", "Networks, ports and names")


def _endpoint(
    title: str, config: dict[str, Any], rule: str, at: str, value: Any, **more: Any
) -> AttackCase:
    body = {
        "HostConfig": {"NetworkMode": "app-net"},
        "NetworkingConfig": {"EndpointsConfig": {"app-net": config}},
    }
    return _connections.create(
        title, body, rule, f"NetworkSettings.Networks.app-net.{at}", value, **more
    )


CONNECTIONS: Final = (
    _connections.host(
        "PortBindings of a privileged port",
        {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}},
        "ports.range",
        devcontainer=None,
    ),
    _connections.host(
        "PortBindings of a range with a privileged port",
        {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "1000-2000"}]}},
        "ports.range",
        devcontainer=None,
    ),
    _connections.host(
        "PortBindings with zeros in front",
        {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "00080"}]}},
        "ports.range",
        devcontainer=None,
    ),
    _connections.host(
        "PublishAllPorts", {"PublishAllPorts": True}, "ports.publish-all", devcontainer=None
    ),
    _connections.host(
        "ExtraHosts host-gateway", {"ExtraHosts": ["h:host-gateway"]}, "networks.extra-host"
    ),
    _connections.host("Dns", {"Dns": ["8.8.8.8"]}, "networks.dns", **_LIMITED),
    _endpoint(
        "EndpointsConfig with a MAC address",
        {"MacAddress": "02:42:ac:11:00:99"},
        "networks.mac-address",
        "MacAddress",
        "02:42:ac:11:00:99",
    ),
    _endpoint(
        "EndpointsConfig with Links",
        {"Links": ["running:db"]},
        "networks.link",
        "Links.0",
        "running:db",
    ),
    _endpoint(
        "EndpointsConfig with a driver's sysctls",
        {
            "DriverOpts": {
                "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1"
            }
        },
        "networks.endpoint-option",
        "DriverOpts",
        {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1"},
    ),
    _endpoint(
        "EndpointsConfig with an address",
        {"IPAMConfig": {"IPv4Address": "172.30.0.99"}},
        "networks.address",
        "IPAMConfig.IPv4Address",
        "172.30.0.99",
        devcontainer=None,
    ),
    _endpoint(
        "EndpointsConfig with an alias",
        {"Aliases": ["db"]},
        "networks.alias",
        "Aliases.0",
        "db",
        **_LIMITED,
    ),
    _connections.create(
        "MacAddress at the top level",
        {"MacAddress": "02:42:ac:11:00:99"},
        "networks.mac-address",
        "Config.MacAddress",
        "02:42:ac:11:00:99",
        refusals={NEWEST: EngineRefusal(201, "moves it to the endpoint, where it is read too")},
    ),
    _connections.create(
        "Links by EndpointsConfig of the default bridge",
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"Links": ["running:../user-y"]}}}},
        "networks.link",
        "NetworkSettings.Networks.bridge.Links.0",
        "running:../user-y",
    ),
)

_strength = Table("resources", "Wearing the host down")

STRENGTH: Final = (
    _strength.host("OomScoreAdj", {"OomScoreAdj": -1000}, "resources.oom-score"),
    _strength.host("OomKillDisable", {"OomKillDisable": True}, "resources.oom-kill"),
    _strength.create(
        "Ulimits beyond the limit",
        {"HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 2_000_000, "Hard": 2_000_000}]}},
        "resources.ulimit",
        "HostConfig.Ulimits.0.Hard",
        2_000_000,
    ),
    _strength.host("Memory beyond the limit", {"Memory": 8 << 30}, "resources.max", **_LIMITED),
    _strength.host("ShmSize beyond the limit", {"ShmSize": 8 << 30}, "resources.max", **_LIMITED),
    _strength.host("Real-time scheduling", {"CpuRealtimeRuntime": 1000}, "resources.realtime"),
    _strength.create(
        "A restart policy for ever",
        {"HostConfig": {"RestartPolicy": {"Name": "always"}}},
        "containers.restart",
        "HostConfig.RestartPolicy.Name",
        "always",
        **_LIMITED,
    ),
    _strength.row(
        "An update that lifts the memory limit",
        post("/containers/limited/update", '{"Memory":8589934592,"MemorySwap":-1}'),
        "resources.max",
        shows("/containers/limited/json", "HostConfig.Memory", 8 << 30),
        **_LIMITED,
    ),
)
