"""The host ports, networks and hosts-file entries of a container, a service's tasks or a build.

Sources: docker/go-connections v0.5 ``nat/parse.go`` (a host port is a number, a range or empty; an
empty address means every address); moby 28.5.2 ``daemon/container_operations.go`` (the network mode
``default`` is ``bridge``; getNetworkID: if an endpoint has a NetworkID, the container joins that
network instead of the one that is the endpoint's key; buildEndpointDNSNames: a hostname is a DNS
name in the network, as in 20.10.24 updateNetworkConfig), ``daemon/network.go`` (FindNetwork),
``daemon/cluster/networks.go`` (populateNetworkID), ``api/types/network/endpoint.go``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from authz_plugin.dockerd.gojson import entry
from authz_plugin.dockerd.ids import may_be_engine_id, may_be_id
from authz_plugin.dockerd.parts import NO_OPTIONS, Parts, first

BUILTIN_NETWORKS: Final = frozenset({"bridge", "default", "host", "none"})
"""Names that dockerd never takes for an id: every engine and every swarm has these networks."""

_PROTOCOLS: Final = frozenset({"tcp", "udp", "sctp"})
_PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_SYSCTLS: Final = "com.docker.network.endpoint.sysctls"


class Port(NamedTuple):
    """A range of host ports that is published.

    ``first`` and ``last`` are the ends of the range, 0 if dockerd picks a port, and None if dockerd
    cannot parse the port. ``host_ip`` is ``0.0.0.0`` for every address; ``protocol`` is tcp, udp,
    sctp or unknown.
    """

    host_ip: str
    first: int | None
    last: int | None
    protocol: str
    field: str


class Endpoint(NamedTuple):
    """A network that a container joins; ``bridge`` is the default network, ``none`` means none.

    NetworkDisabled is ignored, because a later connect gives such a container its network. For a
    container in the network namespace of the host or of another container, ``namespace`` is true
    and ``network`` is that namespace (``host``, ``container:NAME``).

    ``may_be_id`` says that dockerd may take ``network`` for an id or the beginning of one, and
    ``may_be_bridge`` that this id may be the default bridge's. ``addresses`` and ``mac_address``
    are those that the request chooses; ``aliases`` are further DNS names, including a hostname that
    differs from the name of the container or service; ``options`` are the network driver's.
    """

    network: str
    field: str
    namespace: bool = False
    may_be_id: bool = False
    may_be_bridge: bool = False
    addresses: tuple[str, ...] = ()
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    options: Mapping[str, str] = NO_OPTIONS


class Host(NamedTuple):
    """An entry that is added to the hosts file of a container, a service's task or a build."""

    name: str
    address: str
    field: str


def container_ports(parts: Parts) -> Iterator[Port]:
    """The host ports that a new container opens."""
    for key, bindings in parts.body["HostConfig"]["PortBindings"].items():
        field = entry("HostConfig.PortBindings", key)
        protocol = _protocol(key.partition("/")[2])
        for i, binding in enumerate(bindings):
            yield _port(binding, protocol, f"{field}[{i}]")
        if not bindings:
            yield Port("0.0.0.0", 0, 0, protocol, field)  # noqa: S104 - a fact


def service_ports(parts: Parts) -> Iterator[Port]:
    """The host ports that a service opens."""
    if parts.body["EndpointSpec"] is None:
        return
    for i, port in enumerate(parts.body["EndpointSpec"]["Ports"]):
        published, field = port["PublishedPort"], f"EndpointSpec.Ports[{i}]"
        protocol = _protocol(port["Protocol"])
        yield Port("0.0.0.0", published, published, protocol, field)  # noqa: S104 - a fact


def container_endpoints(parts: Parts) -> Iterator[Endpoint]:
    """The networks that a new container joins."""
    yield from _of_container(parts.body, first(parts.query, "name").removeprefix("/"))


def connected_endpoints(parts: Parts) -> Iterator[Endpoint]:
    """The network in the path, which a container is connected to."""
    yield from _endpoints(parts.ref, parts.body["EndpointConfig"], "EndpointConfig")


def service_endpoints(parts: Parts) -> Iterator[Endpoint]:
    """The networks that a service's tasks join."""
    yield from _of_service(parts.body)


def container_hosts(parts: Parts) -> Iterator[Host]:
    """The entries of a new container's hosts file."""
    return _hosts(parts.body["HostConfig"]["ExtraHosts"], "HostConfig.ExtraHosts")


def build_hosts(parts: Parts) -> Iterator[Host]:
    """The entries of the hosts file of a build's steps."""
    return _hosts(parts.query.get("extrahosts", ()), "query.extrahosts")


def service_hosts(parts: Parts) -> Iterator[Host]:
    """The entries of the hosts file of a service's tasks, given as ``ADDRESS NAME``."""
    spec = parts.body["TaskTemplate"]["ContainerSpec"]
    if spec is not None:
        for i, text in enumerate(spec["Hosts"]):
            address, _, name = text.partition(" ")
            yield Host(name, address, f"TaskTemplate.ContainerSpec.Hosts[{i}]")


def endpoint_sysctls(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """The sysctls that a network driver's options set, as names and values."""
    for setting in endpoint.options.get(_SYSCTLS, "").split(","):
        if setting:
            name, _, value = setting.partition("=")
            yield name, value


def _hosts(entries: Iterable[str], field: str) -> Iterator[Host]:
    for i, text in enumerate(entries):
        name, _, address = text.partition(":")
        yield Host(name, address, f"{field}[{i}]")


def _port(binding: Any, protocol: str, field: str) -> Port:
    host_ip, text = binding["HostIp"], binding["HostPort"]
    first, last = _range(text)
    return Port(_address(host_ip), first, last, protocol, field)


def _protocol(text: str) -> str:
    """The protocol in lower case, tcp if empty, or ``unknown`` if it is none of ``_PROTOCOLS``."""
    protocol = text.lower() or "tcp"
    return protocol if protocol in _PROTOCOLS else "unknown"


def _range(text: str) -> tuple[int | None, int | None]:
    if not text:
        return 0, 0
    found = _PORTS.fullmatch(text)
    if found is None:
        return None, None
    return int(found[1]), int(found[2] or found[1])


def _address(text: str) -> str:
    """An IP address in its compressed form; other text is returned unchanged."""
    if not text:
        return "0.0.0.0"  # noqa: S104 - a fact
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _of_container(body: Any, name: str) -> Iterator[Endpoint]:
    host = body["HostConfig"]
    mode = host["NetworkMode"]
    aliases = _hostname(body["Hostname"], name)
    more: dict[str, Any] = {
        "mac_address": body["MacAddress"],
        "links": tuple(host["Links"]),
        "aliases": aliases,
    }
    if mode == "host" or mode.startswith("container:"):
        yield Endpoint(mode, "HostConfig.NetworkMode", namespace=True, **more)
    else:
        yield _named(mode, "HostConfig.NetworkMode", **more)
    for network, config in body["NetworkingConfig"]["EndpointsConfig"].items():
        field = entry("NetworkingConfig.EndpointsConfig", network)
        yield from _endpoints(network, config, field)


def _of_service(body: Any) -> Iterator[Endpoint]:
    template = body["TaskTemplate"]
    aliases = _hostname((template["ContainerSpec"] or {"Hostname": ""})["Hostname"], body["Name"])
    for field, networks in (
        ("TaskTemplate.Networks", template["Networks"]),
        ("Networks", body["Networks"]),
    ):
        for i, network in enumerate(networks):
            target = network["Target"]
            by_id = target not in BUILTIN_NETWORKS and (not target or may_be_id("network", target))
            yield Endpoint(
                target,
                f"{field}[{i}]",
                may_be_id=by_id,
                may_be_bridge=by_id,
                aliases=(*network["Aliases"], *aliases),
                options=network["DriverOpts"],
            )


def _hostname(hostname: str, name: str) -> tuple[str, ...]:
    """A hostname as a further DNS name in a network. The domain name is not one."""
    return (hostname,) if hostname not in {"", name} else ()


def _endpoints(network: str, config: Any, field: str) -> Iterator[Endpoint]:
    """A network that is joined by name or id, and the one in the endpoint's NetworkID, if any."""
    if config is None:
        yield _named(network, field)
        return
    addresses = config["IPAMConfig"] or {"IPv4Address": "", "IPv6Address": "", "LinkLocalIPs": []}
    chosen = (addresses["IPv4Address"], addresses["IPv6Address"], *addresses["LinkLocalIPs"])
    more: dict[str, Any] = {
        "addresses": tuple(address for address in chosen if address),
        "mac_address": config["MacAddress"],
        "aliases": tuple(config["Aliases"]),
        "links": tuple(config["Links"]),
        "options": config["DriverOpts"],
    }
    yield _named(network, field, **more)
    if config["NetworkID"] and network not in BUILTIN_NETWORKS:
        yield _named(config["NetworkID"], f"{field}.NetworkID", **more)


def _named(network: str, field: str, **more: Any) -> Endpoint:
    """An endpoint of a container, whose network may be a network of the engine or of the swarm."""
    if network in {"", "default"}:
        network = "bridge"
    by_id = network not in BUILTIN_NETWORKS
    return Endpoint(
        network,
        field,
        may_be_id=by_id and may_be_id("network", network),
        may_be_bridge=by_id and may_be_engine_id(network),
        **more,
    )
