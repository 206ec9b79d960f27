package docker.authz.rules.registries_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.registries

test_denied[name] if {
	some name, [request, changes, rules] in {
		"a pull from elsewhere": [examples.image_pull, _one, {"registries.host"}],
		"a search elsewhere": [examples.image_search, _one, {"registries.host"}],
		"a registry that is not known": [
			json.remove(examples.image_push, ["/images/0/registry"]),
			_one,
			{"registries.host"},
		],
		"an image of nothing": [
			object.union(examples.container_create_full, {"images": [{}]}),
			_one,
			{"registries.host"},
		],
	}
	found := registries.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a push": [examples.image_push, _one],
		"a look-up": [examples.distribution_inspect, _one],
		"a plugin": [examples.plugin_pull, _one],
		"running is no connection": [examples.container_create_full, _one],
		"anywhere": [examples.image_pull, {}],
		"a list": [examples.container_list, _one],
	}
	found := registries.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_one := {"registries": {"allow": ["registry.example"]}}
