package docker.authz.rules.logging_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.logging

test_denied[name] if {
	some name, [request, changes, rules] in {
		"another driver": [_driver("syslog", {}), {}, {"logging.driver"}],
		"another option": [_driver("json-file", {"syslog-address": "x"}), {}, {"logging.option"}],
		"a driver of nothing where any is allowed": [
			object.union(examples.container_create_full, {"log_drivers": [{}]}),
			{"logging": {"drivers": ["*"]}},
			{"logging.driver", "logging.option"},
		],
		"a driver of nothing": [
			object.union(examples.container_create_full, {"log_drivers": [{}]}),
			{},
			{"logging.driver", "logging.option"},
		],
	}
	found := logging.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"an ordinary one": [examples.container_create_full, {}],
		"any driver": [_driver("syslog", {}), {"logging": {"drivers": ["*"]}}],
		"dockerd's default where any is allowed": [_driver("", {}), {"logging": {"drivers": ["*"]}}],
		"none said": [examples.container_create, {}],
		"a list": [examples.container_list, {}],
	}
	found := logging.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_driver(name, options) := object.union(
	examples.container_create_full,
	{"log_drivers": [{"name": name, "options": options, "field": "f"}]},
)
