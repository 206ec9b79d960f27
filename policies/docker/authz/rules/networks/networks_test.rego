package docker.authz.rules.networks_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.networks

test_denied[name] if {
	some name, [request, changes, rules] in {
		"another network": [_endpoint({"network": "back"}), _front_only, {"networks.join"}],
		"the default bridge": [examples.container_create, _front_only, {"networks.default-bridge"}],
		"what may be an id": [
			_endpoint({"network": "cafe", "may_be_id": true}),
			{"networks": {"join": ["ca*"]}},
			{"networks.join"},
		],
		"what may be the default bridge's id": [
			_endpoint({"network": "cafe", "may_be_id": true, "may_be_bridge": true}),
			{"networks": {"default_bridge": false}},
			{"networks.default-bridge"},
		],
		"an alias": [_endpoint({"aliases": ["web"]}), _front_only, {"networks.alias"}],
		"a link": [_endpoint({"links": ["web:db"]}), {}, {"networks.link"}],
		"an address": [_endpoint({"addresses": ["10.0.0.2"]}), _plain, {"networks.address"}],
		"a MAC address": [_endpoint({"mac_address": "02:42:ac:11:00:02"}), {}, {"networks.mac-address"}],
		"a driver option": [
			_endpoint({"options": {"com.docker.network.endpoint.ifname": "x"}}),
			{},
			{"networks.endpoint-option"},
		],
		"a connection": [examples.network_connect, {"networks": {"join": ["back"]}}, {"networks.join"}],
		"an endpoint of nothing": [
			object.union(examples.container_create_full, {"endpoints": [{}]}),
			object.union(_front_only, _plain),
			{
				"networks.join",
				"networks.default-bridge",
				"networks.alias",
				"networks.link",
				"networks.address",
				"networks.mac-address",
				"networks.endpoint-option",
				"networks.extra-host",
			},
		],
		"a host entry": [
			examples.container_create_full,
			{"networks": {"extra_hosts": false}},
			{"networks.extra-host"},
		],
		"an entry for the host": [
			object.union(
				examples.container_create_full,
				{"hosts": [{"name": "x", "address": "host-gateway", "field": "f"}]},
			),
			{},
			{"networks.extra-host"},
		],
		"a host entry of nothing": [
			object.union(examples.container_create_full, {"hosts": [{}]}),
			{},
			{"networks.extra-host"},
		],
		"a DNS server": [
			_host({"Dns": ["10.0.0.1"], "ExtraHosts": []}),
			{"networks": {"dns": false}},
			{"networks.dns"},
		],
		"DNS that is not known": [
			json.remove(examples.container_create_full, ["/body/HostConfig/Dns"]),
			{"networks": {"dns": false}},
			{"networks.dns"},
		],
		"a service's DNS server": [
			_service({"DNSConfig": {"Nameservers": ["10.0.0.1"], "Search": [], "Options": []}}),
			{"networks": {"dns": false}},
			{"networks.dns"},
		],
		"a service's DNS that is not known": [
			json.remove(examples.service_create, ["/body/TaskTemplate/ContainerSpec"]),
			{"networks": {"dns": false}},
			{"networks.dns"},
		],
		"a macvlan network": [_network({"Driver": "macvlan"}), {}, {"networks.driver"}],
		"a network driver that is not known": [
			json.remove(examples.network_create, ["/body/Driver"]),
			{},
			{"networks.driver"},
		],
		"a bridge of the host": [
			_network({"Options": {"com.docker.network.bridge.name": "br0"}}),
			{},
			{"networks.option"},
		],
		"a swarm's pool of subnets": [
			object.union(examples.swarm_init, {"body": {"DefaultAddrPool": ["10.0.0.0/8"]}}),
			{"networks": {"subnets": false}},
			{"networks.subnet"},
		],
		"a subnet": [
			_network({"IPAM": {"Driver": "", "Options": {}, "Config": [{"Subnet": "10.0.0.0/8"}]}}),
			{"networks": {"subnets": false}},
			{"networks.subnet"},
		],
		"options from elsewhere": [_network({"ConfigFrom": {"Network": "hidden"}}), {}, {"networks.config"}],
		"options for elsewhere": [_network({"ConfigOnly": true}), {}, {"networks.config"}],
		"an ingress network": [_network({"Ingress": true}), {}, {"networks.ingress"}],
		"another scope": [_network({"Scope": "swarm"}), {}, {"networks.scope"}],
		"endpoints that are not known": [
			json.remove(examples.container_create_full, ["/endpoints"]),
			{},
			{"networks.unreadable"},
		],
		"a body that is not known": [
			json.remove(examples.network_create, ["/body"]),
			{},
			{
				"networks.driver",
				"networks.option",
				"networks.subnet",
				"networks.config",
				"networks.ingress",
				"networks.scope",
				"networks.unreadable",
			},
		],
	}
	found := networks.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_what_is_empty_is_named if {
	found := networks.denials with input as _network({"Driver": "", "Scope": ""})
		with data.docker.authz.config as object.union(
			profiles.closed,
			{"networks": {"drivers": ["overlay"], "scopes": [], "subnets": true}},
		)
	{[denial.message, denial.hint] | some denial in found} == {
		[`network driver "" (dockerd's default) is not allowed`, "allowed: overlay"],
		[`network scope "" (the driver's default) is not allowed`, "none is allowed"],
	}
}

test_allowed[name] if {
	some name, [request, changes] in {
		"any driver and scope": [_network({"Driver": "x", "Scope": "y"}), _any_kind],
		"no driver and no scope where any is allowed": [_network({"Driver": "", "Scope": ""}), _any_kind],
		"a driver that fits a pattern": [_network({"Driver": "weave/net"}), {"networks": {"drivers": ["weave/*"]}}],
		"an allowed network": [_endpoint({}), _front_only],
		"an ordinary container": [examples.container_create_full, {}],
		"what may be an id where it is written out": [
			_endpoint({"network": "cafe", "may_be_id": true, "may_be_bridge": true}),
			{"networks": {"join": ["cafe"], "default_bridge": false}},
		],
		"what may be an id where every network is allowed": [
			_endpoint({"network": "cafe", "may_be_id": true, "may_be_bridge": true}),
			{},
		],
		"a name of letters that fits a pattern": [_endpoint({}), {"networks": {"join": ["fr*"]}}],
		"a namespace, which namespaces judges": [
			_endpoint({"network": "host", "namespace": true}),
			_front_only,
		],
		"no network": [_endpoint({"network": "none"}), _front_only],
		"a new swarm": [examples.swarm_init, {"networks": {"subnets": false}}],
		"a new network": [examples.network_create, {"networks": {"subnets": false}}],
		"an ordinary plan of addresses": [
			_network({"IPAM": {"Driver": "default", "Options": {}, "Config": []}}),
			{"networks": {"subnets": false}},
		],
		"options from nowhere": [_network({"ConfigFrom": {"Network": ""}}), {}],
		"an entry for the host where that is allowed": [
			object.union(
				examples.container_create_full,
				{"hosts": [{"name": "x", "address": "host-gateway", "field": "f"}]},
			),
			{"networks": {"host_gateway": true}},
		],
		"everything where it is allowed": [
			_endpoint({"aliases": ["a"], "links": ["a:b"], "addresses": ["10.0.0.2"], "mac_address": "x", "options": {"o": ""}}),
			{"networks": {"links": true, "static_addresses": true, "mac_addresses": true, "endpoint_options": ["*"]}},
		],
		"a subnet where that is allowed": [
			_network({"IPAM": {"Driver": "", "Options": {}, "Config": [{"Subnet": "10.0.0.0/8"}]}}),
			{"networks": {"subnets": true}},
		],
		"networks for configuration where that is allowed": [
			_network({"ConfigOnly": true, "Ingress": true}),
			{"networks": {"config_from": true, "ingress": true}},
		],
		"a service without DNS": [examples.service_create, {"networks": {"dns": false}}],
		"a service with empty DNS": [
			_service({"DNSConfig": {"Nameservers": [], "Search": [], "Options": []}}),
			{"networks": {"dns": false}},
		],
		"a service that installs a plugin": [examples.service_create_plugin, {"networks": {"dns": false}}],
		"a container without DNS": [_host({"ExtraHosts": []}), {"networks": {"dns": false}}],
		"a list": [examples.container_list, _front_only],
	}
	found := networks.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_any_kind := {"networks": {"drivers": ["*"], "scopes": ["*"]}}

_front_only := {"networks": {"join": ["front"], "default_bridge": false, "aliases": false}}

_plain := {"networks": {"extra_hosts": false, "dns": false, "static_addresses": false, "subnets": false}}

_host(changes) := object.union(examples.container_create_full, {"body": {"HostConfig": changes}})

_endpoint(changes) := object.union(
	examples.container_create_full,
	{"endpoints": [object.union(_front, changes)], "hosts": []},
)

_front := {
	"network": "front",
	"field": "f",
	"namespace": false,
	"may_be_id": false,
	"may_be_bridge": false,
	"addresses": [],
	"mac_address": "",
	"aliases": [],
	"links": [],
	"options": {},
}

_network(changes) := object.union(examples.network_create, {"body": changes})

_service(changes) := object.union(
	examples.service_create,
	{"body": {"TaskTemplate": {"ContainerSpec": changes}}},
)
