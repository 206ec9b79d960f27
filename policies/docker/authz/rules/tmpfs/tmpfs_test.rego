package docker.authz.rules.tmpfs_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.tmpfs

test_denied[name] if {
	some name, [request, changes, rules] in {
		"an executable one": [
			object.union(
				examples.container_create_full,
				{"tmpfs": [{"target": "/x", "options": ["exec"], "field": "f"}]},
			),
			{},
			{"tmpfs.option"},
		],
		"an option that is not known, where any is allowed": [
			object.union(examples.container_create_full, {"tmpfs": [{"options": [null]}]}),
			{"tmpfs": {"options": ["*"]}},
			{"tmpfs.option"},
		],
		"options that are not known": [
			object.union(examples.container_create_full, {"tmpfs": [{}]}),
			{},
			{"tmpfs.option"},
		],
	}
	found := tmpfs.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"an ordinary one": [examples.container_create_full, {}],
		"any option": [
			object.union(
				examples.container_create_full,
				{"tmpfs": [{"target": "/x", "options": ["exec"], "field": "f"}]},
			),
			{"tmpfs": {"options": ["*"]}},
		],
		"a list": [examples.container_list, {}],
	}
	found := tmpfs.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}
