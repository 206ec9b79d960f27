"""Networks, published ports, and names in networks."""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    CREATE,
    DEVCONTAINER,
    NO_CONTAINER,
    NO_IMAGE,
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

NETWORKS: Final = Family("networks", "Networks, ports and names")

_BRIDGE: Final = {"com.docker.network.bridge.name": "oaa-<token>"}
_MAC: Final = "02:42:ac:11:00:99"
_IMPACT_NAMES: Final = "another container answers to a name that others trust"
_IMPACT_LAN: Final = "a place in the host's own network, past its firewall"


def _network(
    id_: str, title: str, config: dict[str, Any], shown: tuple[str, Any], **more: Any
) -> CatalogueAttack:
    request = post("/networks/create", json.dumps({"Name": "<name>", **config}))
    return entry(
        NETWORKS, id_, title, request, proof=Proof("/networks/<name>", *shown),
        creates=(DockerObject("network"),), **{"success_errors": "", **more},
    )  # fmt: skip


def _link(id_: str, title: str, alias: str, made: str) -> CatalogueAttack:
    return host_config_entry(
        NETWORKS, id_, title, {"Links": [f"<own>:{alias}"]}, value=[f"/<own>:{made}"],
        success_errors=f"{NO_IMAGE}|{NO_CONTAINER}", rule="networks.link", impact=_IMPACT_NAMES,
    )  # fmt: skip


def _port(id_: str, title: str, port: str) -> CatalogueAttack:
    bindings = {"80/tcp": [{"HostIp": "", "HostPort": port}]}
    return host_config_entry(
        NETWORKS, id_, title, {"PortBindings": bindings}, rule="ports.range",
        allowed_by=DEVCONTAINER,
        impact="a service of the host is replaced by the caller's",
    )  # fmt: skip


ROWS: Final = (
    _link("link", "A link: a second name for another container", "aka", "/<name>/aka"),
    _link("link-name", "A link whose alias is a name of its own", "../<name>-aka", "/<name>-aka"),
    host_config_entry(NETWORKS, "gateway", "A name for the host itself",
        {"ExtraHosts": ["h:host-gateway"]},
        rule="networks.extra-host",
        impact="the host's own services, by an address that containers reach"),
    _port("port", "A privileged port of the host", "80"),
    _port("port-range", "A range of ports with a privileged one in it", "1000-2000"),
    container_entry(NETWORKS, "mac", "A hardware address of choice",
        post(CREATE, ContainerBody(members={"MacAddress": _MAC})), ("Config.MacAddress", _MAC),
        rule="networks.mac-address", impact="another's place in a network"),
    _network("macvlan", "A network of the host's own LAN",
             {"Driver": "macvlan", "Options": {"parent": "lo"}}, ("Driver", "macvlan"),
             success_errors="loopback", rule="networks.driver", impact=_IMPACT_LAN),
    _network("bridge", "A network on a bridge of the host, by the bridge's name",
             {"Driver": "bridge", "Options": _BRIDGE}, ("Options", _BRIDGE),
             rule="networks.option", impact=_IMPACT_LAN),
    _network("config", "A network that holds options for others", {"ConfigOnly": True},
             ("ConfigOnly", True), rule="networks.config",
             impact="options that a guard would refuse, in a network that another only names"),
    entry(NETWORKS, "connect", "A container into a network, under another's name",
          post(f"/networks/{NOTHING}/connect", json.dumps(
              {"Container": NOTHING, "EndpointConfig": {"Aliases": ["db"]}})),
          success_errors=f"network .* not found|{NO_CONTAINER}", rule="networks.alias",
          allowed_by=DEVCONTAINER, impact=_IMPACT_NAMES),
)  # fmt: skip
