"""The isolation of a container from its host, in one form for containers and services.

Capabilities, namespaces and security options. The spellings that dockerd accepts are normalised:
capability names in any case, with or without ``CAP_``, options with ``=``, ``:`` or no value, every
Boolean that Go parses. Sources: moby 28.5.2 ``oci/caps/utils.go``, ``daemon/daemon_unix.go``
(parseSecurityOpt), ``api/types/container/hostconfig.go`` (namespace modes),
``daemon/cluster/convert/container.go``, ``daemon/cluster/networks.go`` (populateNetworkID).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from authz_plugin.dockerd.connections import BUILTIN_NETWORKS
from authz_plugin.dockerd.gojson import entry
from authz_plugin.dockerd.ids import may_be_id
from authz_plugin.dockerd.parts import Parts

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_FLAGS: Final = frozenset({"no-new-privileges", "writable-cgroups"})

_NAMESPACES: Final = (
    ("network", "NetworkMode"),
    ("pid", "PidMode"),
    ("ipc", "IpcMode"),
    ("uts", "UTSMode"),
    ("user", "UsernsMode"),
    ("cgroup", "CgroupnsMode"),
    ("cgroup", "Cgroup"),
)


class Capability(NamedTuple):
    """A capability that is added to dockerd's default set: upper case, without ``CAP_``."""

    name: str
    field: str


class Namespace(NamedTuple):
    """A namespace that is not the container's own.

    ``type`` is network, pid, ipc, uts, user or cgroup; ``mode`` is ``host``, ``container`` (then
    ``container`` is the name or id of that container), ``named`` (a network), ``unresolved`` (a
    service's network given by what may be an id or its beginning, so possibly that of the host
    network) or ``unknown``.
    """

    type: str
    mode: str
    container: str | None
    field: str


class SecurityOption(NamedTuple):
    """A security option. ``no-new-privileges`` without a value has the value ``true``."""

    name: str
    value: str
    field: str


class Confinement(NamedTuple):
    """Changes of a container's isolation from dockerd's defaults; empty if there are none."""

    capabilities: tuple[Capability, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    security_options: tuple[SecurityOption, ...] = ()


def of_container(parts: Parts) -> Confinement:
    """The confinement of a new container."""
    host_config = parts.body["HostConfig"]
    return Confinement(
        tuple(_capabilities(host_config["CapAdd"], "HostConfig.CapAdd")),
        tuple(_namespaces(parts.body)),
        tuple(_security_options(host_config["SecurityOpt"])),
    )


def of_service(parts: Parts) -> Confinement:
    """The confinement of a service's tasks."""
    spec = parts.body["TaskTemplate"]["ContainerSpec"]
    field = "TaskTemplate.ContainerSpec"
    namespaces = tuple(_service_namespaces(parts.body))
    if spec is None:
        return Confinement(namespaces=namespaces)
    return Confinement(
        tuple(_capabilities(spec["CapabilityAdd"], f"{field}.CapabilityAdd")),
        namespaces,
        tuple(_service_options(spec["Privileges"], f"{field}.Privileges")),
    )


def _capabilities(names: list[str], field: str) -> Iterator[Capability]:
    for i, name in enumerate(names):
        yield Capability(name.upper().removeprefix("CAP_"), f"{field}[{i}]")


def _namespaces(body: Any) -> Iterator[Namespace]:
    for type_, name in _NAMESPACES:
        namespace = _namespace(type_, body["HostConfig"][name], f"HostConfig.{name}")
        if namespace is not None:
            yield namespace
    for network in body["NetworkingConfig"]["EndpointsConfig"]:
        field = entry("NetworkingConfig.EndpointsConfig", network)
        namespace = _namespace("network", network, field)
        if namespace is not None:
            yield namespace


def _namespace(type_: str, mode: str, field: str) -> Namespace | None:
    kind, colon, container = mode.partition(":")
    if colon and kind == "container":
        return Namespace(type_, "container", container, field)
    if mode == "host":
        return Namespace(type_, "host", None, field)
    if type_ == "network":
        named = mode not in {"", "default", "bridge", "none"}
        return Namespace(type_, "named", None, field) if named else None
    own = {"", "private", "none", "shareable"} if type_ == "ipc" else {"", "private"}
    return None if mode in own else Namespace(type_, "unknown", None, field)


def _service_namespaces(body: Any) -> Iterator[Namespace]:
    for field, networks in (
        ("TaskTemplate.Networks", body["TaskTemplate"]["Networks"]),
        ("Networks", body["Networks"]),
    ):
        for i, network in enumerate(networks):
            target, place = network["Target"], f"{field}[{i}].Target"
            if target not in BUILTIN_NETWORKS and (not target or may_be_id("network", target)):
                yield Namespace("network", "unresolved", None, place)
            elif (namespace := _namespace("network", target, place)) is not None:
                yield namespace


def _security_options(options: list[str]) -> Iterator[SecurityOption]:
    for i, option in enumerate(options):
        field = f"HostConfig.SecurityOpt[{i}]"
        if option in _FLAGS:
            yield SecurityOption(option, "true", field)
        elif option == "disable":
            yield SecurityOption("label", "disable", field)
        else:
            name, _, value = option.partition("=" if "=" in option else ":")
            yield SecurityOption(name, _flag(value) if name in _FLAGS else value, field)


def _flag(value: str) -> str:
    return "true" if value in _TRUE else "false" if value in _FALSE else value


def _service_options(privileges: Any, field: str) -> Iterator[SecurityOption]:
    if privileges is None:
        return
    if privileges["NoNewPrivileges"]:
        yield SecurityOption("no-new-privileges", "true", f"{field}.NoNewPrivileges")
    seccomp, apparmor = privileges["Seccomp"], privileges["AppArmor"]
    if seccomp is not None and seccomp["Mode"] not in {"", "default"}:
        yield SecurityOption("seccomp", seccomp["Mode"], f"{field}.Seccomp.Mode")
    if apparmor is not None and apparmor["Mode"] not in {"", "default"}:
        yield SecurityOption("apparmor", apparmor["Mode"], f"{field}.AppArmor.Mode")
    context = privileges["SELinuxContext"]
    if context is not None:
        if context["Disable"]:
            yield SecurityOption("label", "disable", f"{field}.SELinuxContext.Disable")
        for name in ("User", "Role", "Type", "Level"):
            if context[name]:
                value = f"{name.lower()}:{context[name]}"
                yield SecurityOption("label", value, f"{field}.SELinuxContext.{name}")
    if privileges["CredentialSpec"] is not None:
        yield SecurityOption("credentialspec", "", f"{field}.CredentialSpec")
