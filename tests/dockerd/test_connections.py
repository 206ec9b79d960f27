"""Ports of the host, networks and hosts files, as requests ask for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authz_plugin import dockerd
from authz_plugin.dockerd import CanonicalRequest

JSON = {"content-type": "application/json"}


def read(uri: str, body: Any) -> CanonicalRequest:
    return dockerd.read("POST", uri, JSON, json.dumps(body).encode())


def create(**host_config: Any) -> CanonicalRequest:
    return read("/containers/create", {"Image": "x", "HostConfig": host_config})


@pytest.mark.parametrize(
    ("binding", "port"),
    [
        ({"HostPort": "8080"}, ("0.0.0.0", 8080, 8080)),
        ({"HostPort": "8000-8010"}, ("0.0.0.0", 8000, 8010)),
        ({"HostPort": ""}, ("0.0.0.0", 0, 0)),
        ({"HostIp": "127.0.0.1", "HostPort": "080"}, ("127.0.0.1", 80, 80)),
        ({"HostIp": "0:0:0:0:0:0:0:1", "HostPort": "1"}, ("::1", 1, 1)),
        ({"HostIp": "localhost", "HostPort": "1"}, ("localhost", 1, 1)),
        ({"HostPort": "http"}, ("0.0.0.0", None, None)),
        ({"HostPort": "-1"}, ("0.0.0.0", None, None)),
        ({"HostPort": "\u0661"}, ("0.0.0.0", None, None)),
    ],
)
def test_a_port_is_a_range_on_an_address(
    binding: dict[str, str], port: tuple[str, int | None, int | None]
) -> None:
    (found,) = create(PortBindings={"80/udp": [binding]}).ports
    assert (found.host_ip, found.first, found.last) == port
    assert found.protocol == "udp"


def test_a_port_without_bindings_gets_one_of_dockerds_choice() -> None:
    (found,) = create(PortBindings={"80/tcp": []}).ports
    assert (found.first, found.last) == (0, 0)


def test_a_services_ports_are_open_on_every_address() -> None:
    spec = {"EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]}}
    (found,) = read("/services/create", {"TaskTemplate": {}, **spec}).ports
    assert (found.host_ip, found.first, found.protocol) == ("0.0.0.0", 8080, "tcp")


@pytest.mark.parametrize("mode", ["", "default", "bridge"])
def test_the_default_network_is_the_bridge(mode: str) -> None:
    assert [endpoint.network for endpoint in create(NetworkMode=mode).endpoints] == ["bridge"]


@pytest.mark.parametrize("mode", ["host", "container:x"])
def test_a_namespace_is_listed_as_one_with_all_that_stands_beside_it(mode: str) -> None:
    (endpoint,) = create(NetworkMode=mode, Links=["db:d"]).endpoints
    assert (endpoint.network, endpoint.namespace, endpoint.links) == (mode, True, ("db:d",))


@pytest.mark.parametrize("mode", ["", "none", "front"])
def test_disabled_networking_hides_nothing(mode: str) -> None:
    body = {"Image": "x", "MacAddress": "02:00:00:00:00:01", "Hostname": "db"}
    host = {"HostConfig": {"NetworkMode": mode, "Links": ["db:d"]}}
    enabled, disabled = (
        read("/containers/create", {**body, **host, "NetworkDisabled": off}).endpoints
        for off in (False, True)
    )
    assert enabled == disabled
    assert (enabled[0].links, enabled[0].mac_address) == (("db:d",), "02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("network", "by_id", "bridge"),
    [
        ("cafe", True, True),
        ("0" * 64, True, True),
        ("0" * 65, False, False),
        ("front", True, False),
        ("z" * 25, True, False),
        ("z" * 26, False, False),
        ("front-end", False, False),
        ("Cafe", False, False),
        ("ca_fe", False, False),
        ("bridge", False, False),
        ("default", False, False),
        ("none", False, False),
        ("host", False, False),
    ],
)
def test_a_network_that_may_be_called_by_an_id_is_said_to_be(
    network: str, by_id: bool, bridge: bool
) -> None:
    connect = read(f"/networks/{network}/connect", {"Container": "x"})
    for endpoint in (connect.endpoints[0], create(NetworkMode=network).endpoints[0]):
        if not endpoint.namespace:
            assert (endpoint.may_be_id, endpoint.may_be_bridge) == (by_id, bridge)


def test_a_services_network_may_be_the_bridge_by_any_id() -> None:
    networks = [{"Target": "front"}, {"Target": "front-end"}, {"Target": "bridge"}]
    body = {"TaskTemplate": {"Networks": networks}}
    found = read("/services/create", body).endpoints
    assert [endpoint.may_be_bridge for endpoint in found] == [True, False, False]


def test_the_network_that_an_endpoint_says_by_id_is_joined_too() -> None:
    config = {"NetworkID": "cafe", "Aliases": ["db"]}
    ends = {"EndpointsConfig": {"front": config, "bridge": config}}
    found = read("/containers/create", {"Image": "x", "NetworkingConfig": ends}).endpoints
    assert [endpoint.network for endpoint in found] == ["bridge", "front", "cafe", "bridge"]
    assert found[2].aliases == ("db",)
    connected = read("/networks/front/connect", {"Container": "x", "EndpointConfig": config})
    assert [endpoint.network for endpoint in connected.endpoints] == ["front", "cafe"]


@pytest.mark.parametrize(
    ("hostname", "domain", "aliases"),
    [("", "x.example", ()), ("web", "x.example", ()), ("db", "", ("db",)), ("WEB", "", ("WEB",))],
)
def test_a_hostname_is_a_further_name(hostname: str, domain: str, aliases: tuple[str, ...]) -> None:
    body = {"Image": "x", "Hostname": hostname, "Domainname": domain}
    (endpoint,) = read("/containers/create?name=/web", body).endpoints
    assert endpoint.aliases == aliases
    task = {"ContainerSpec": {"Hostname": hostname}, "Networks": [{"Target": "front"}]}
    (endpoint,) = read("/services/create", {"Name": "web", "TaskTemplate": task}).endpoints
    assert endpoint.aliases == aliases


def test_a_service_without_container_still_has_its_namespaces() -> None:
    body = {"TaskTemplate": {"Networks": [{"Target": "host"}]}}
    (namespace,) = read("/services/create", body).confinement.namespaces
    assert namespace.mode == "host"


def test_a_container_joins_every_network_that_it_names() -> None:
    request = read(
        "/containers/create",
        {
            "Image": "x",
            "MacAddress": "02:00:00:00:00:01",
            "HostConfig": {"NetworkMode": "front", "Links": ["db:database"]},
            "NetworkingConfig": {
                "EndpointsConfig": {
                    "front": None,
                    "back": {
                        "IPAMConfig": {"IPv4Address": "10.0.0.2", "LinkLocalIPs": ["169.254.1.1"]},
                        "Aliases": ["db"],
                        "DriverOpts": {
                            "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.x=1,a=2"
                        },
                    },
                }
            },
        },
    )
    mode, front, back = request.endpoints
    assert (mode.network, mode.mac_address, mode.links) == (
        "front",
        "02:00:00:00:00:01",
        ("db:database",),
    )
    assert (front.network, front.aliases) == ("front", ())
    assert (back.network, back.addresses, back.aliases) == (
        "back",
        ("10.0.0.2", "169.254.1.1"),
        ("db",),
    )
    sysctls = [(sysctl.name, sysctl.value) for sysctl in request.workload.sysctls]
    assert sysctls == [("net.ipv4.conf.IFNAME.x", "1"), ("a", "2")]


def test_a_connection_and_a_service_join_networks() -> None:
    (joined,) = read("/networks/back/connect", {"Container": "x"}).endpoints
    assert joined.network == "back"
    template = {"Networks": [{"Target": "front", "Aliases": ["web"]}]}
    (service,) = read("/services/create", {"TaskTemplate": template}).endpoints
    assert (service.network, service.aliases) == ("front", ("web",))


def test_entries_for_the_hosts_file_are_read_wherever_they_stand() -> None:
    (host,) = create(ExtraHosts=["me:host-gateway"]).hosts
    assert (host.name, host.address) == ("me", "host-gateway")
    spec = {"ContainerSpec": {"Hosts": ["10.0.0.1 db"]}}
    (task,) = read("/services/create", {"TaskTemplate": spec}).hosts
    assert (task.name, task.address) == ("db", "10.0.0.1")
    (build,) = dockerd.read("POST", "/build?extrahosts=db:10.0.0.1", {}, b"").hosts
    assert (build.name, build.address) == ("db", "10.0.0.1")
