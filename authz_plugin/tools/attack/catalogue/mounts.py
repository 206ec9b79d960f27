"""Mounts, volumes and log drivers that give access to files of the host."""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    CREATE,
    IMPACT_FILES,
    NO_CONTAINER,
    NO_IMAGE,
    NOWHERE,
    container_entry,
    entry,
    host_config_entry,
    post,
)
from authz_plugin.tools.attack.model import (
    CatalogueAttack,
    ContainerBody,
    DockerObject,
    Family,
    Proof,
)
from authz_plugin.tools.validation.probes import NOTHING

MOUNTS: Final = Family("mounts", "Ways to the host's files")

_IMPACT_DEVICE: Final = "a file system of the caller's choice, mounted by root of the host"
_IMPACT_ROOT: Final = "a path outside of what may be mounted, reached from inside"


def _bind(id_: str, title: str, bind: str, **more: Any) -> CatalogueAttack:
    more = {"rule": "mounts.source", "impact": IMPACT_FILES, **more}
    return host_config_entry(MOUNTS, id_, title, {"Binds": [bind]}, **more)


def _out(id_: str, title: str, bind: str) -> CatalogueAttack:
    """Return an attack that mounts a path outside of a folder that may be mounted."""
    return _bind(id_, title, bind, needs_folder=True, impact=_IMPACT_ROOT)


def _mount(id_: str, title: str, mount: dict[str, Any], **more: Any) -> CatalogueAttack:
    more = {"rule": "mounts.source", "impact": IMPACT_FILES, **more}
    return host_config_entry(MOUNTS, id_, title, {"Mounts": [{"Target": "/h", **mount}]}, **more)


def _inline(id_: str, title: str, options: dict[str, str], **more: Any) -> CatalogueAttack:
    """Return an attack that creates a container and, by one of its Mounts, a volume."""
    driver = {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": options}}
    mount = {"Type": "volume", "Source": "<name>", "VolumeOptions": driver}
    return _mount(id_, title, mount, also=(DockerObject("volume"),), **more)


def _volume(
    id_: str, title: str, options: dict[str, str], rule: str, impact: str
) -> CatalogueAttack:
    """Return an attack that creates a volume, which a container could mount later."""
    body = {"Name": "<name>", "Driver": "local", "DriverOpts": options}
    return entry(
        MOUNTS, f"volume-{id_}", title, post("/volumes/create", json.dumps(body)),
        proof=Proof("/volumes/<name>", "Options", options), creates=(DockerObject("volume"),),
        success_errors="", rule=rule, impact=impact,
    )  # fmt: skip


ROWS: Final = (
    _bind("etc", "/etc, read-only and relabelled", "/etc:/h:ro,z"),
    _bind("slashes", "//etc", "//etc:/h"),
    _bind("dots", "/../etc", "/../etc:/h"),
    _bind("proc", "/proc", "/proc:/h"),
    _bind("run", "The folder of the Docker socket", "/run:/h", rule="mounts.protected"),
    _bind("plugins", "The folder of dockerd's plugins", "/run/docker/plugins:/h",
          rule="guard.mount", impact="the guard is replaced by one that allows everything"),
    _bind("settings", "dockerd's settings", "/etc/docker:/h", rule="guard.mount",
          impact="the guard is taken out of dockerd's settings"),
    _out("folder-dots", "Out of an allowed folder by ..", "<folder>/../../../../../etc:/h"),
    _out("folder-link", "Out of an allowed folder by a link", "<folder>/link:/h"),
    _out("folder-link-below", "Out of an allowed folder by a link, to what is not there yet",
         "<folder>/link/opa-authz-attack:/h"),
    _out("folder-sibling", "A folder whose name begins like an allowed one", "<root>-beside:/h"),
    _bind("propagation", "A mount that propagates to the host", "/mnt:/h:rshared",
          rule="mounts.propagation", impact="what the container mounts is mounted on the host"),
    _mount("type-bind", "/etc, as a mount of type bind", {"Type": "bind", "Source": "/etc"}),
    _mount("type-bind-made", "A mount that makes its source on the host",
           {"Type": "bind", "Source": "/run/opa-authz-attack",
            "BindOptions": {"CreateMountpoint": True}}),
    _inline("inline-bind", "/, as the options of a volume",
            {"type": "none", "o": "bind", "device": "/"}),
    _inline("inline-bind-typed", "/etc, as the options of a volume called ext4",
            {"type": "ext4", "o": "ro,rbind", "device": "/etc"}),
    _inline("inline-disk", "A disk, as the options of a volume",
            {"type": "ext4", "device": "/dev/sda1"}, rule="volumes.options", impact=_IMPACT_DEVICE),
    _inline("inline-overlay", "/etc, as the lower folder of an overlay",
            {"type": "overlay", "o": "lowerdir=/etc:/root", "device": "overlay"},
            rule="volumes.options"),
    _inline("inline-proc", "The host's processes, as the options of a volume",
            {"type": "proc", "device": "proc"}, rule="volumes.options", impact=_IMPACT_DEVICE),
    _mount("inline-anonymous", "/etc, as the options of a volume without a name",
           {"Type": "volume",
            "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Options": {
                "type": "none", "o": "bind", "device": "/etc"}}}}),
    container_entry(MOUNTS, "inline-driver", "A volume of an unknown driver",
        post(CREATE, ContainerBody(
        {"Mounts": [{"Type": "volume", "Source": "<name>", "Target": "/h",
        "VolumeOptions": {"DriverConfig": {"Name": NOTHING}}}]},
        {"Image": f"{NOTHING}:none"})),
        ("HostConfig.Mounts", [{"Type": "volume"}]), rule="volumes.driver",
        impact="a volume plugin mounts what it likes"),
    _volume("bind", "A new volume that is /",
            {"type": "none", "o": "bind", "device": "/"}, "mounts.source", IMPACT_FILES),
    _volume("bind-typed", "A new volume that is /, called tmpfs",
            {"type": "tmpfs", "o": "size=1,rbind", "device": "/"}, "mounts.source", IMPACT_FILES),
    _volume("disk", "A new volume that is a disk",
            {"type": "ext4", "device": "/dev/sda1"}, "volumes.options", _IMPACT_DEVICE),
    _volume("overlay", "A new volume that is an overlay of /etc",
            {"type": "overlay", "o": "lowerdir=/etc:/root", "device": "overlay"},
            "volumes.options", IMPACT_FILES),
    _volume("share", "A new volume that is a share of the network",
            {"type": "cifs", "o": "addr=127.0.0.1", "device": "//x/y"}, "volumes.options",
            "the host reaches out to an address of the caller's choice, with its own credentials"),
    host_config_entry(MOUNTS, "volumes-from", "The mounts of another container",
        {"VolumesFrom": ["<own>:rw"]}, rule="mounts.volumes-from",
        success_errors=f"{NO_IMAGE}|{NO_CONTAINER}",
        impact="whatever is mounted into another container, the Docker socket too"),
    host_config_entry(MOUNTS, "tmpfs", "A tmpfs with exec, suid and dev",
        {"Tmpfs": {"/t": "exec,suid,dev"}}, rule="tmpfs.option",
        impact="programs and devices in memory, where a container should have none"),
    _mount("tmpfs-options", "A tmpfs with exec, as a mount",
           {"Type": "tmpfs", "TmpfsOptions": {"Options": [["exec"]]}}, rule="tmpfs.option",
           impact="programs in memory, where a container should have none"),
    host_config_entry(MOUNTS, "block-device", "A limit that looks at a device of the host",
        {"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}]},
        rule="resources.block-device", impact="which devices the host has"),
    host_config_entry(MOUNTS, "log-target", "A log driver that sends elsewhere",
        {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": f"tcp://{NOWHERE}"}}},
        rule="logging.driver",
        impact="dockerd connects, as root, to an address of the caller's choice"),
    host_config_entry(MOUNTS, "log-file", "A log driver that reads a file as root",
        {"LogConfig": {"Type": "splunk", "Config": {
        "splunk-token": "x", "splunk-url": f"https://{NOWHERE}",
        "splunk-capath": "/etc/shadow"}}},
        rule="logging.driver", impact="whether and what files of the host are, read as root"),
)  # fmt: skip
