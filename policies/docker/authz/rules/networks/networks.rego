# METADATA
# title: Networks
# description: |
#   Which networks may be created and joined, and how. The network of the host and that of another
#   container are judged by `namespaces`.
package docker.authz.rules.networks

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A network must be an allowed one to be joined
# description: |
#   Compares the name that the request gives. A name that may be an id matches no pattern except *,
#   so the configuration must list it in full. The network of the host and that of another container
#   are judged by `namespaces`.
# custom:
#   id: networks.join
#   settings: [networks.join]
#   remedy: Join a network that the denial lists, by its name and not by its id.
#   change: {add: networks.join}
#   baseline: {networks.join: []}
#   records: [endpoints]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.join", object.get(endpoint, "field", "networks"), object.get(endpoint, "network", null),
	sprintf("joining network %v is not allowed", [denial.named(object.get(endpoint, "network", "unknown"), "empty")]),
	denial.allowed(effective.list(["networks", "join"])),
) if {
	input.operation.access == "write"
	some endpoint in input.endpoints
	not _builtin(endpoint)
	not _joinable(endpoint)
}

# METADATA
# title: The default bridge needs permission
# description: |
#   On the default bridge every container reaches every other. A request can name it by its id or by
#   the beginning of its id, so a network name that may be an id must be listed in full in
#   `networks.join`.
# custom:
#   id: networks.default-bridge
#   settings: [networks.default_bridge, networks.join]
#   remedy: |
#     Run it with --network NAME, or with --network none. A name that contains a character that no
#     id has, such as - or _, cannot be an id.
#   change: {function: default_bridge}
#   baseline: {networks.default_bridge: false}
#   records: [endpoints]
#   controls: [cis 5.30, owasp Insecure network, "owasp #5", nist 4.3.3, nist 4.4.2]
denials contains denial.of(
	"networks.default-bridge", object.get(endpoint, "field", "networks"),
	object.get(endpoint, "network", "bridge"), _bridge_message(endpoint), _bridge_hint(endpoint),
) if {
	input.operation.access == "write"
	not _bridge_allowed
	some endpoint in input.endpoints
	not _not_bridge(endpoint)
}

# METADATA
# title: Aliases in a network need permission
# description: |
#   If another container already has the name, it loses part of its connections. The container's id
#   and its own name do not count as aliases; a hostname that differs from them does.
# custom:
#   id: networks.alias
#   settings: [networks.aliases]
#   remedy: Give the container the name by which others connect to it, and leave --hostname out.
#   change: {set: networks.aliases, to: true}
#   baseline: {networks.aliases: false}
#   records: [endpoints]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.alias", object.get(endpoint, "field", "networks"), null,
	"aliases in a network are not allowed, and a hostname is one", "networks.aliases is false",
) if {
	input.operation.access == "write"
	not _aliases_allowed
	some endpoint in input.endpoints
	not _without(endpoint, "aliases")
}

# METADATA
# title: Links need permission
# description: A link creates names by which the container can reach another container.
# custom:
#   id: networks.link
#   settings: [networks.links]
#   remedy: Put both containers in a network of their own; there they reach each other by name.
#   change: {set: networks.links, to: true}
#   baseline: {networks.links: false}
#   records: [endpoints]
#   controls: [owasp Insecure network, nist 4.3.3, docker Networks]
denials contains denial.of(
	"networks.link", object.get(endpoint, "field", "networks"), null,
	"links are not allowed", "join a network instead",
) if {
	input.operation.access == "write"
	not _links_allowed
	some endpoint in input.endpoints
	not _without(endpoint, "links")
}

# METADATA
# title: Addresses must not be chosen without permission
# description: Other containers may expect another container at the chosen address.
# custom:
#   id: networks.address
#   settings: [networks.static_addresses]
#   remedy: Leave --ip and --ip6 out and connect to the container by its name.
#   change: {set: networks.static_addresses, to: true}
#   baseline: {networks.static_addresses: false}
#   records: [endpoints]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.address", object.get(endpoint, "field", "networks"), null,
	"choosing an IP address is not allowed", "networks.static_addresses is false",
) if {
	input.operation.access == "write"
	not _addresses_allowed
	some endpoint in input.endpoints
	not _without(endpoint, "addresses")
}

# METADATA
# title: MAC addresses must not be chosen without permission
# description: A container with the MAC address of another container gets that container's packets.
# custom:
#   id: networks.mac-address
#   settings: [networks.mac_addresses]
#   remedy: Leave --mac-address out.
#   change: {set: networks.mac_addresses, to: true}
#   danger: gets packets that are sent to another container
#   records: [endpoints]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.mac-address", object.get(endpoint, "field", "networks"),
	object.get(endpoint, "mac_address", null),
	"choosing a MAC address is not allowed", "networks.mac_addresses is false",
) if {
	input.operation.access == "write"
	not _macs_allowed
	some endpoint in input.endpoints
	not _no_mac(endpoint)
}

# METADATA
# title: A network driver's option for an endpoint must be an allowed one
# description: Such options set kernel parameters and interface names.
# custom:
#   id: networks.endpoint-option
#   settings: [networks.endpoint_options]
#   remedy: Leave the option out.
#   change: {add: networks.endpoint_options}
#   danger: such options set kernel parameters and interface names
#   records: [endpoints]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.endpoint-option", object.get(endpoint, "field", "networks"), name,
	sprintf("endpoint option %v is not allowed", [denial.named(name, "empty")]),
	denial.allowed(effective.list(["networks", "endpoint_options"])),
) if {
	input.operation.access == "write"
	some endpoint in input.endpoints
	some name, _ in object.get(endpoint, "options", {"unknown": ""})
	not _fits("endpoint_options", name)
}

# METADATA
# title: Entries for the hosts file need permission
# description: |
#   Applies to containers, services and builds. An entry for the host itself needs another
#   permission.
# custom:
#   id: networks.extra-host
#   settings: [networks.extra_hosts, networks.host_gateway]
#   remedy: Leave --add-host out; containers of a network reach each other by name.
#   change: {function: extra_host}
#   baseline: {networks.extra_hosts: false, networks.host_gateway: false}
#   records: [hosts]
#   controls: [owasp Insecure network, nist 4.4.2, docker Networks]
denials contains denial.of(
	"networks.extra-host", object.get(host, "field", "HostConfig.ExtraHosts"),
	object.get(host, "address", null),
	sprintf("host entry for %v is not allowed", [object.get(host, "address", "unknown")]),
	"networks.extra_hosts or networks.host_gateway is false",
) if {
	input.operation.access == "write"
	some host in input.hosts
	not _host_allowed(host)
}

# METADATA
# title: DNS settings need permission
# description: |
#   A DNS server that the client chooses answers for every name that the container looks up.
# custom:
#   id: networks.dns
#   settings: [networks.dns]
#   remedy: Leave --dns, --dns-option and --dns-search out.
#   change: {set: networks.dns, to: true}
#   baseline: {networks.dns: false}
#   controls: [docker Networks]
denials contains denial.of(
	"networks.dns", field, null,
	"choosing DNS settings is not allowed", "networks.dns is false",
) if {
	input.operation.access == "write"
	not _dns_allowed
	some field in _dns_fields
}

# METADATA
# title: A new network must have an allowed driver
# description: macvlan and ipvlan connect containers directly to the host's physical network.
# custom:
#   id: networks.driver
#   settings: [networks.drivers]
#   remedy: Create the network with a driver that the denial lists.
#   change: {add: networks.drivers}
#   danger:
#     harmless: ["", bridge, overlay]
#     otherwise: may connect containers directly to the host's network
#   records: [body.Driver]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.driver", "Driver", object.get(input, ["body", "Driver"], null),
	sprintf("network driver %v is not allowed", [_named("Driver", "dockerd's default")]),
	denial.allowed_names(effective.list(["networks", "drivers"]), "dockerd's default"),
) if {
	input.operation.id == "network.create"
	not _listed("Driver", "drivers")
}

# METADATA
# title: A new network's driver options must be allowed ones
# description: |
#   Options use existing bridges of the host, bind addresses and turn address translation off.
# custom:
#   id: networks.option
#   settings: [networks.options]
#   remedy: Leave the option out.
#   change: {add: networks.options}
#   danger: some options use existing bridges of the host or bind its addresses
#   controls: [docker Networks]
denials contains denial.of(
	"networks.option", "Options", name,
	sprintf("network option %v is not allowed", [denial.named(name, "empty")]),
	denial.allowed(effective.list(["networks", "options"])),
) if {
	input.operation.id == "network.create"
	some name, _ in object.get(input, ["body", "Options"], {"unknown": ""})
	not _fits("options", name)
}

# METADATA
# title: Subnets need permission
# description: |
#   A subnet that overlaps a route of the host takes the traffic of that route. This applies to the
#   subnet of a network and to the address pool of a new swarm's networks.
# custom:
#   id: networks.subnet
#   settings: [networks.subnets]
#   remedy: Leave --subnet, --gateway and --ip-range out; dockerd chooses.
#   change: {set: networks.subnets, to: true}
#   baseline: {networks.subnets: false}
#   records: [body.IPAM.Driver]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.subnet", field, null,
	"choosing subnets is not allowed", "networks.subnets is false",
) if {
	input.operation.access == "write"
	not _subnets_allowed
	some field in _subnets
}

# METADATA
# title: Options of another network need permission
# description: The options are those of a configuration-only network and not part of the request.
# custom:
#   id: networks.config
#   settings: [networks.config_from]
#   remedy: Give the network its options itself.
#   change: {set: networks.config_from, to: true}
#   danger: the network gets options that no rule can check
#   controls: [docker Networks]
denials contains denial.of(
	"networks.config", "ConfigFrom", null,
	"networks for or from configuration are not allowed", "networks.config_from is false",
) if {
	input.operation.id == "network.create"
	not _config_allowed
	not _no_config
}

# METADATA
# title: A swarm's ingress network needs permission
# description: The traffic of all published ports of services passes through it.
# custom:
#   id: networks.ingress
#   settings: [networks.ingress]
#   remedy: Create the network without --ingress.
#   change: {set: networks.ingress, to: true}
#   danger: the traffic of all published ports of services passes through it
#   controls: [docker Networks]
denials contains denial.of(
	"networks.ingress", "Ingress", true,
	"ingress networks are not allowed", "networks.ingress is false",
) if {
	input.operation.id == "network.create"
	not _ingress_allowed
	not _no_ingress
}

# METADATA
# title: A new network's scope must be an allowed one
# description: A network of scope swarm reaches other hosts.
# custom:
#   id: networks.scope
#   settings: [networks.scopes]
#   remedy: Create the network without --scope.
#   change: {add: networks.scopes}
#   records: [body.Scope]
#   controls: [docker Networks]
denials contains denial.of(
	"networks.scope", "Scope", object.get(input, ["body", "Scope"], null),
	sprintf("network scope %v is not allowed", [_named("Scope", "the driver's default")]),
	denial.allowed_names(effective.list(["networks", "scopes"]), "the driver's default"),
) if {
	input.operation.id == "network.create"
	not _listed("Scope", "scopes")
}

# METADATA
# title: Networks must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: networks.unreadable
denials contains denial.of("networks.unreadable", "endpoints", null, "the request's networks cannot be read", "") if {
	input.operation.access == "write"
	not _readable
}

_readable if {
	is_array(input.endpoints)
	is_array(input.hosts)
	not _body_missing
}

_body_missing if {
	input.operation.id == "network.create"
	not is_object(object.get(input, "body", null))
}

_builtin(endpoint) if endpoint.network in {"bridge", "none"}

_builtin(endpoint) if endpoint.namespace == true

_joinable(_) if "*" in effective.config.networks.join

_joinable(endpoint) if _listed_in_full(endpoint)

_joinable(endpoint) if {
	endpoint.may_be_id == false
	_fits("join", endpoint.network)
}

_listed_in_full(endpoint) if endpoint.network in effective.config.networks.join

_bridge_allowed if effective.config.networks.default_bridge == true

_not_bridge(endpoint) if {
	endpoint.network != "bridge"
	endpoint.may_be_bridge == false
}

_not_bridge(endpoint) if {
	endpoint.network != "bridge"
	_listed_in_full(endpoint)
}

_bridge_message(endpoint) := "this may be the default bridge network, by its id" if {
	object.get(endpoint, "may_be_bridge", false) == true
} else := "the default bridge network is not allowed"

_bridge_hint(endpoint) := "write the name out in networks.join, or use one with - or _ in it" if {
	object.get(endpoint, "may_be_bridge", false) == true
} else := "run it with --network NAME or --network none"

_aliases_allowed if effective.config.networks.aliases == true

_links_allowed if effective.config.networks.links == true

_addresses_allowed if effective.config.networks.static_addresses == true

_macs_allowed if effective.config.networks.mac_addresses == true

_no_mac(endpoint) if endpoint.mac_address == ""

_without(endpoint, list) if endpoint[list] == []

_fits(key, value) if pattern.fits(effective.config.networks[key], value)

_host_allowed(host) if {
	effective.config.networks.extra_hosts == true
	host.address != "host-gateway"
}

_host_allowed(host) if {
	effective.config.networks.host_gateway == true
	host.address == "host-gateway"
}

_dns_allowed if effective.config.networks.dns == true

_dns_fields contains sprintf("HostConfig.%s", [name]) if {
	input.operation.id == "container.create"
	some name in ["Dns", "DnsOptions", "DnsSearch"]
	object.get(input, ["body", "HostConfig", name], null) != []
}

_dns_fields contains "TaskTemplate.ContainerSpec.DNSConfig" if {
	input.operation.id in {"service.create", "service.update"}
	not is_null(object.get(input, ["body", "TaskTemplate", "ContainerSpec"], "lost"))
	not _no_service_dns
}

_no_service_dns if is_null(input.body.TaskTemplate.ContainerSpec.DNSConfig)

_no_service_dns if {
	every _, values in input.body.TaskTemplate.ContainerSpec.DNSConfig { values == [] }
}

_listed(field, key) if _fits(key, input.body[field])

_named(field, meaning) := denial.named(object.get(input, ["body", field], "unknown"), meaning)

_subnets_allowed if effective.config.networks.subnets == true

_subnets contains "IPAM" if {
	input.operation.id == "network.create"
	not _plain_ipam
}

_subnets contains "DefaultAddrPool" if {
	input.operation.id == "swarm.init"
	not _plain_pool
}

_plain_pool if input.body.DefaultAddrPool == []

_plain_ipam if is_null(input.body.IPAM)

_plain_ipam if {
	input.body.IPAM.Config == []
	input.body.IPAM.Options == {}
	input.body.IPAM.Driver in {"", "default"}
}

_config_allowed if effective.config.networks.config_from == true

_no_config if {
	input.body.ConfigOnly == false
	input.body.ConfigFrom.Network == ""
}

_no_config if {
	input.body.ConfigOnly == false
	is_null(input.body.ConfigFrom)
}

_ingress_allowed if effective.config.networks.ingress == true

_no_ingress if input.body.Ingress == false
