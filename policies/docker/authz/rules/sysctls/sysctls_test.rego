package docker.authz.rules.sysctls_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.sysctls

test_denied[name] if {
	some name, [request, changes, rules] in {
		"another one": [
			object.union(
				examples.container_create_full,
				{"sysctls": [{"name": "kernel.msgmax", "value": "1", "field": "f"}]},
			),
			{},
			{"sysctls.name"},
		],
		"one without name": [object.union(examples.container_create_full, {"sysctls": [{}]}), {}, {"sysctls.name"}],
	}
	found := sysctls.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"an allowed one": [examples.container_create_full, {}],
		"one that a pattern allows": [
			object.union(
				examples.container_create_full,
				{"sysctls": [{"name": "net.core.somaxconn", "value": "1", "field": "f"}]},
			),
			{"sysctls": {"allow": ["net.*"]}},
		],
		"a list": [examples.container_list, {}],
	}
	found := sysctls.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}
