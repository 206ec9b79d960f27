"""What leads out of a container: to the host, its kernel and devices, dockerd, or other people.

Each danger is a text that says what a grant would mean, for whoever has to decide on it; an empty
one says that the thing is granted as far as it was used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

DEFAULT_CAPABILITIES: Final = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
"""What Docker gives every container unasked (moby 28.5.2 ``oci/caps/defaults.go``)."""

_CAPABILITIES: Final = {
    "ALL": "every capability there is: root on the host",
    "BPF": "loads programs into the kernel",
    "DAC_READ_SEARCH": "opens any file of the host by its handle",
    "MAC_ADMIN": "changes the host's AppArmor or SELinux rules",
    "MAC_OVERRIDE": "passes the host's AppArmor or SELinux rules",
    "NET_ADMIN": "changes interfaces, routes and firewalls; in the host's network, the host's",
    "PERFMON": "watches the kernel and, through it, other processes",
    "SYSLOG": "reads the kernel's log and addresses",
    "SYS_ADMIN": "mounts file systems and changes namespaces: root on the host",
    "SYS_BOOT": "restarts the host",
    "SYS_MODULE": "loads kernel modules: root on the host",
    "SYS_PTRACE": "reads and changes other processes' memory",
    "SYS_RAWIO": "reads and writes the host's memory and disks",
    "SYS_TIME": "sets the host's clock",
}

_OPERATIONS: Final = (
    ("build.grpc", "any build, which no rule sees"),
    ("container.checkpoint.", "makes, lists and removes directories of the host, as root"),
    ("debug.", "shows dockerd's memory"),
    ("node.remove", "takes hosts out of the swarm"),
    ("plugin.inspect", ""),
    ("plugin.list", ""),
    ("plugin.privileges", ""),
    ("plugin.", "a plugin is a program that runs as root on the host"),
    ("swarm.inspect", "shows the tokens with which a host joins the swarm"),
    ("swarm.unlock-key", "shows the key to the swarm's secrets"),
    ("swarm.", "gives this host, or its swarm, to somebody else"),
)
"""Operations, or how their ids begin; the first that fits counts."""

_SYSTEM: Final = {
    "/bin": "the host's programs",
    "/boot": "the host's kernel",
    "/dev": "the host's devices",
    "/etc": "the host's settings and passwords",
    "/lib": "the host's programs",
    "/lib32": "the host's programs",
    "/lib64": "the host's programs",
    "/libx32": "the host's programs",
    "/proc": "the host's processes and kernel",
    "/root": "the home of the host's root",
    "/run": "sockets and state of the host's services",
    "/sbin": "the host's programs",
    "/sys": "the host's kernel and devices",
    "/usr": "the host's programs",
    "/var/lib/containerd": "all containers and images of the host",
    "/var/lib/docker": "all containers, images and volumes of the host",
    "/var/lib/kubelet": "all pods of the host, and their secrets",
    "/var/log": "the host's logs",
    "/var/run": "sockets and state of the host's services",
    "/var/spool": "the host's jobs and mail",
}
"""Directories that are the host's own, with all below them."""

_TOO_WIDE: Final = frozenset(
    {"/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/lib", "/var/tmp"}  # noqa: S108 - names, not files
)
_HOME: Final = 3
"""Parts of ``/home/alice``."""

_KEYS: Final = frozenset({".aws", ".azure", ".config", ".docker", ".gnupg", ".kube", ".ssh"})

_GROUPS: Final = frozenset(
    {"adm", "disk", "docker", "kmem", "kvm", "lxd", "root", "shadow", "sudo", "video", "wheel"}
)
_FIRST_GROUP: Final = 1000
"""Below it are the groups of the system, on every usual Linux."""


def of_capability(name: str) -> str:
    """An added capability."""
    if name in DEFAULT_CAPABILITIES:
        return ""
    return _CAPABILITIES.get(name, "is none of those that Docker gives every container")


def of_operation(id_: str) -> str:
    """An operation."""
    return next((danger for prefix, danger in _OPERATIONS if id_.startswith(prefix)), "")


def of_path(path: str, protected: Iterable[str] = ()) -> str:
    """A clean host path that is mounted, or a root that lets it and all below it be mounted.

    ``protected`` are paths of which the configuration lets no part be mounted.
    """
    return next(_of_path(path, protected), "")


def of_group(name: str) -> str:
    """A supplementary group."""
    system = name.isascii() and name.isdecimal() and int(name) < _FIRST_GROUP
    if system or name in _GROUPS:
        return "may be a group of the host's own, and opens its files where they are mounted"
    return ""


def of_network_driver(name: str) -> str:
    """A driver of new networks."""
    return "" if name in {"", "bridge", "overlay"} else "may be the host's own network"


def of_build_network(name: str) -> str:
    """A network that a build runs in."""
    if name == "host":
        return "builds reach what only the host itself reaches"
    return "builds are in another container's network" if name.startswith("container:") else ""


def of_mount_type(name: str) -> str:
    """A type of mounts."""
    plain = {"bind", "image", "tmpfs", "volume"}
    return "" if name in plain else "no rule judges what such a mount reaches"


def of_tmpfs_option(name: str) -> str:
    """An option of a tmpfs."""
    return "set-user-id programs or devices work in it" if name in {"dev", "suid"} else ""


def of_volume_driver(name: str) -> str:
    """A volume driver."""
    return "" if name in {"", "local"} else "a program of the host decides what it mounts"


def _of_path(path: str, protected: Iterable[str]) -> Iterator[str]:
    if path == "/":
        yield "the whole host: root on it"
    protected = sorted(set(protected))
    yield from (f"{other} is protected" for other in protected if below(path, other))
    yield from (danger for root, danger in _SYSTEM.items() if below(path, root))
    yield from (f"holds {other}, which is protected" for other in protected if below(other, path))
    if path in _TOO_WIDE:
        yield f"all of {path}, whoever's it is"
    parts = path.split("/")
    if parts[1] == "home" and len(parts) == _HOME:
        yield "all that a user of the host has, keys and settings too"
    if not _KEYS.isdisjoint(parts):
        yield "keys and settings of a user of the host"
    if path.endswith(".sock"):
        yield "a socket: who listens there does what it is told"


def below(path: str, root: str) -> bool:
    """Whether a clean path is another or lies below it."""
    return path == root or path.startswith(f"{root.rstrip('/')}/")


def related(path: str, other: str) -> bool:
    """Whether one of two clean paths holds the other."""
    return below(path, other) or below(other, path)
