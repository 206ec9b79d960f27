package docker.authz.rules.capabilities_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.capabilities

test_denied[name] if {
	some name, [capability, config] in {
		"one that is not on the list": [_capability("SYS_ADMIN"), profiles.production],
		"all of them": [_capability("ALL"), profiles.production],
		"one as no engine spells it": [_capability("net_bind_service"), profiles.production],
		"one that is not said": [{"field": "HostConfig.CapAdd[0]"}, profiles.production],
		"nothing that is said": [{}, profiles.production],
		"one without a configuration": [_capability("CHOWN"), {}],
		"one without a list": [_capability("CHOWN"), json.remove(profiles.production, ["/capabilities"])],
	}
	found := capabilities.denials with input as _request([capability])
		with data.docker.authz.config as config
	{denial.rule | some denial in found} == {"capabilities.add"}
}

test_each_of_several_is_denied if {
	found := capabilities.denials with input as _request([
		_capability("SYS_ADMIN"), _capability("CHOWN"),
		_capability("SYS_PTRACE"),
	])
		with data.docker.authz.config as profiles.production
	{denial.value | some denial in found} == {"SYS_ADMIN", "SYS_PTRACE"}
}

test_the_hint_lists_what_is_allowed if {
	found := capabilities.denials with input as _request([_capability("SYS_ADMIN")])
		with data.docker.authz.config as object.union(
			profiles.production,
			{"capabilities": {"allow": ["KILL", "CHOWN"]}},
		)
	{denial.hint | some denial in found} == {"allowed: CHOWN, KILL"}
}

test_allowed[name] if {
	some name, list in {
		"none": [],
		"those on the list": [_capability("NET_BIND_SERVICE"), _capability("CHOWN")],
	}
	found := capabilities.denials with input as _request(list)
		with data.docker.authz.config as profiles.production
	count(found) == 0
}

_request(list) := object.union(examples.container_create, {"capabilities": list})

_capability(name) := {"name": name, "field": "HostConfig.CapAdd[0]"}
