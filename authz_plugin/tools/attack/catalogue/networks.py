"""Networks, ports and names."""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.shorthand import (
    CREATE,
    DEVCONTAINER,
    NO_CONTAINER,
    NO_IMAGE,
    creating,
    hosting,
    post,
    sending,
)
from authz_plugin.tools.attack.row import Attack, Container, Family, Proof, Thing
from authz_plugin.tools.validation.probes import NOTHING

NETWORKS: Final = Family("networks", "Networks, ports and names")

_BRIDGE: Final = {"com.docker.network.bridge.name": "oaa-<token>"}
_MAC: Final = "02:42:ac:11:00:99"
_MEANS_NAMES: Final = "another container answers to a name that others trust"
_MEANS_LAN: Final = "a place in the host's own network, past its firewall"


def _network(
    id_: str, what: str, config: dict[str, Any], shown: tuple[str, Any], **more: Any
) -> Attack:
    message = post("/networks/create", json.dumps({"Name": "<name>", **config}))
    return sending(
        NETWORKS, id_, what, message, proof=Proof("/networks/<name>", *shown),
        makes=(Thing("network"),), **{"granted": "", **more},
    )  # fmt: skip


def _link(id_: str, what: str, alias: str, made: str) -> Attack:
    return hosting(
        NETWORKS, id_, what, {"Links": [f"<own>:{alias}"]}, value=[f"/<own>:{made}"],
        granted=f"{NO_IMAGE}|{NO_CONTAINER}", rule="networks.link", means=_MEANS_NAMES,
    )  # fmt: skip


def _port(id_: str, what: str, port: str) -> Attack:
    bindings = {"80/tcp": [{"HostIp": "", "HostPort": port}]}
    return hosting(
        NETWORKS, id_, what, {"PortBindings": bindings}, rule="ports.range", open_in=DEVCONTAINER,
        means="a service of the host is replaced by the caller's",
    )  # fmt: skip


ROWS: Final = (
    _link("link", "A link: a second name for another container", "aka", "/<name>/aka"),
    _link("link-name", "A link whose alias is a name of its own", "../<name>-aka", "/<name>-aka"),
    hosting(NETWORKS, "gateway", "A name for the host itself", {"ExtraHosts": ["h:host-gateway"]},
            rule="networks.extra-host",
            means="the host's own services, by an address that containers reach"),
    _port("port", "A privileged port of the host", "80"),
    _port("port-range", "A range of ports with a privileged one in it", "1000-2000"),
    creating(NETWORKS, "mac", "A hardware address of choice",
             post(CREATE, Container(top={"MacAddress": _MAC})), ("Config.MacAddress", _MAC),
             rule="networks.mac-address", means="another's place in a network"),
    _network("macvlan", "A network of the host's own LAN",
             {"Driver": "macvlan", "Options": {"parent": "lo"}}, ("Driver", "macvlan"),
             granted="loopback", rule="networks.driver", means=_MEANS_LAN),
    _network("bridge", "A network on a bridge of the host, by the bridge's name",
             {"Driver": "bridge", "Options": _BRIDGE}, ("Options", _BRIDGE),
             rule="networks.option", means=_MEANS_LAN),
    _network("config", "A network that holds options for others", {"ConfigOnly": True},
             ("ConfigOnly", True), rule="networks.config",
             means="options that a guard would refuse, in a network that another only names"),
    sending(NETWORKS, "connect", "A container into a network, under another's name",
            post(f"/networks/{NOTHING}/connect", json.dumps(
                {"Container": NOTHING, "EndpointConfig": {"Aliases": ["db"]}})),
            granted=f"network .* not found|{NO_CONTAINER}", rule="networks.alias",
            open_in=DEVCONTAINER, means=_MEANS_NAMES),
)  # fmt: skip
