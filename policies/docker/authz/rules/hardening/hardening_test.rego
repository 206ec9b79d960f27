package docker.authz.rules.hardening_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.hardening

test_denied[name] if {
	some name, [request, changes, rules] in {
		"nothing where everything is asked for": [
			examples.container_create,
			_all,
			{"hardening.read-only-root", "hardening.no-new-privileges", "hardening.healthcheck", "hardening.drop"},
		],
		"a service that is made": [
			examples.service_create,
			_all,
			{"hardening.read-only-root", "hardening.no-new-privileges", "hardening.healthcheck", "hardening.drop"},
		],
		"a service that is changed": [
			examples.service_update,
			_all,
			{"hardening.read-only-root", "hardening.no-new-privileges", "hardening.healthcheck", "hardening.drop"},
		],
		"hardening that are not known": [
			json.remove(examples.container_create_full, ["/hardening"]),
			_all,
			{"hardening.read-only-root", "hardening.no-new-privileges", "hardening.healthcheck", "hardening.drop"},
		],
		"one of two capabilities dropped": [
			object.union(examples.container_create_full, {"hardening": {"dropped": ["KILL"]}}),
			{"hardening": {"drop": ["KILL", "NET_RAW"]}},
			{"hardening.drop"},
		],
		"another capability dropped": [
			object.union(examples.container_create_full, {"hardening": {"dropped": ["KILL"]}}),
			{"hardening": {"drop": ["NET_RAW"]}},
			{"hardening.drop"},
		],
	}
	found := hardening.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"everything given": [examples.container_create_full, _all],
		"nothing asked for": [examples.container_create, {}],
		"a list": [examples.container_list, _all],
		"everything dropped": [examples.container_create_full, {"hardening": {"drop": ["NET_RAW"]}}],
		"one capability dropped by name": [
			object.union(examples.container_create_full, {"hardening": {"dropped": ["NET_RAW"]}}),
			{"hardening": {"drop": ["NET_RAW"]}},
		],
	}
	found := hardening.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_all := {"hardening": {
	"read_only_root": true,
	"no_new_privileges": true,
	"drop": ["ALL"],
	"healthcheck": true,
}}
