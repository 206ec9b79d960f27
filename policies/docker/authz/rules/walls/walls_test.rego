package docker.authz.rules.walls_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.walls

test_denied[name] if {
	some name, [request, changes, rules] in {
		"nothing where everything is asked for": [
			examples.container_create,
			_all,
			{"walls.read-only-root", "walls.no-new-privileges", "walls.healthcheck", "walls.drop"},
		],
		"a service that is made": [
			examples.service_create,
			_all,
			{"walls.read-only-root", "walls.no-new-privileges", "walls.healthcheck", "walls.drop"},
		],
		"a service that is changed": [
			examples.service_update,
			_all,
			{"walls.read-only-root", "walls.no-new-privileges", "walls.healthcheck", "walls.drop"},
		],
		"walls that are not known": [
			json.remove(examples.container_create_full, ["/walls"]),
			_all,
			{"walls.read-only-root", "walls.no-new-privileges", "walls.healthcheck", "walls.drop"},
		],
		"one of two capabilities dropped": [
			object.union(examples.container_create_full, {"walls": {"dropped": ["KILL"]}}),
			{"walls": {"drop": ["KILL", "NET_RAW"]}},
			{"walls.drop"},
		],
		"another capability dropped": [
			object.union(examples.container_create_full, {"walls": {"dropped": ["KILL"]}}),
			{"walls": {"drop": ["NET_RAW"]}},
			{"walls.drop"},
		],
	}
	found := walls.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"everything given": [examples.container_create_full, _all],
		"nothing asked for": [examples.container_create, {}],
		"a list": [examples.container_list, _all],
		"everything dropped": [examples.container_create_full, {"walls": {"drop": ["NET_RAW"]}}],
		"one capability dropped by name": [
			object.union(examples.container_create_full, {"walls": {"dropped": ["NET_RAW"]}}),
			{"walls": {"drop": ["NET_RAW"]}},
		],
	}
	found := walls.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_all := {"walls": {
	"read_only_root": true,
	"no_new_privileges": true,
	"drop": ["ALL"],
	"healthcheck": true,
}}
