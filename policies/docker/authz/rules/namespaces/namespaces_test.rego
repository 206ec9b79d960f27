package docker.authz.rules.namespaces_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.namespaces

test_denied[name] if {
	some name, [namespace, allow, rule] in {
		"the host's network": [_namespace("network", "host"), [], "namespaces.host"],
		"the host's processes": [_namespace("pid", "host"), [], "namespaces.host"],
		"another container's memory": [_namespace("ipc", "container"), [], "namespaces.container"],
		"a mode that is not known": [_namespace("pid", "ns:/proc/1/ns/pid"), [], "namespaces.unknown"],
		"a named user namespace": [_namespace("user", "named"), [], ""],
		"the host's where a container's is allowed": [
			_namespace("pid", "host"), ["pid:container"],
			"namespaces.host",
		],
		"a container's where the host's is allowed": [
			_namespace("pid", "container"), ["pid:host"],
			"namespaces.container",
		],
		"another type than is allowed": [_namespace("pid", "host"), ["ipc", "network"], "namespaces.host"],
		"a mode that is not said": [{"type": "pid", "container": null, "field": "x"}, [], "namespaces.host"],
		"a type that is not said": [{"mode": "host", "container": null, "field": "x"}, ["pid"], "namespaces.host"],
		"what may be an id": [_namespace("network", "unresolved"), ["network:host"], "namespaces.service-network"],
		"nothing that is said": [{}, ["pid"], "namespaces.host"],
		"a container's, type not said": [{"mode": "container"}, ["pid"], "namespaces.container"],
	}
	found := _denials(namespace, allow)
	{denial.rule | some denial in found} == {rule} - {""}
}

test_allowed[name] if {
	some name, [namespace, allow] in {
		"a network by name": [_namespace("network", "named"), []],
		"every mode of a type": [_namespace("ipc", "host"), ["ipc"]],
		"a container's of a type": [_namespace("ipc", "container"), ["ipc"]],
		"one mode of a type": [_namespace("ipc", "container"), ["ipc:container"]],
		"what may be an id": [_namespace("network", "unresolved"), ["network:unresolved"]],
		"the host's of a type": [_namespace("network", "host"), ["network:host"]],
	}
	count(_denials(namespace, allow)) == 0
}

test_a_container_of_its_own_namespaces_is_allowed if {
	found := namespaces.denials with input as examples.container_create
		with data.docker.authz.config as profiles.production
	count(found) == 0
}

test_a_name_that_is_listed_is_no_id if {
	every target, rules in {"backend": set(), "3f2a": {"namespaces.service-network"}} {
		found := namespaces.denials with input as _joining(target)
			with data.docker.authz.config as object.union(
				profiles.production,
				{"networks": {"join": ["backend", "3*"]}},
			)
		{denial.rule | some denial in found} == rules
	}
}

test_without_configuration_nothing_is_allowed if {
	found := namespaces.denials with input as _request(_namespace("pid", "host"))
		with data.docker.authz.config as {}
	count(found) == 1
}

_denials(namespace, allow) := found if {
	found := namespaces.denials with input as _request(namespace)
		with data.docker.authz.config as object.union(profiles.production, {"namespaces": {"allow": allow}})
}

_joining(target) := object.union(
	_request({"type": "network", "mode": "unresolved", "container": null, "field": "Networks[0].Target"}),
	{"endpoints": [{"network": target, "field": "Networks[0]"}]},
)

_request(namespace) := object.union(examples.container_create, {"namespaces": [namespace]})

_namespace(type, mode) := {"type": type, "mode": mode, "container": null, "field": "HostConfig.X"}
