package docker.authz.rules.build_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.build

test_a_network_is_denied[name] if {
	some name, [request, config] in {
		"the host's": [_build("networkmode", "host"), profiles.production],
		"another container's": [_build("networkmode", "container:web"), profiles.production],
		"the default where it is not allowed": [
			examples.image_build,
			object.union(profiles.production, {"build": {"networks": ["none"]}}),
		],
		"an empty one where the default is not allowed": [
			_build("networkmode", ""),
			object.union(profiles.production, {"build": {"networks": ["none"]}}),
		],
		"any without a configuration": [
			examples.image_build,
			json.remove(profiles.production, ["/build/networks"]),
		],
	}
	found := build.denials with input as request
		with data.docker.authz.config as config
	{denial.rule | some denial in found} == {"build.network"}
}

test_a_network_is_allowed_by_a_pattern[name] if {
	some name, [mode, networks] in {
		"any": ["host", ["*"]],
		"an empty one": ["", ["*"]],
		"a beginning": ["container:web", ["container:*"]],
	}
	found := build.denials with input as _build("networkmode", mode)
		with data.docker.authz.config as object.union(profiles.production, {"build": {"networks": networks}})
	count(found) == 0
}

test_an_empty_network_is_named if {
	found := build.denials with input as _build("networkmode", "")
		with data.docker.authz.config as object.union(profiles.production, {"build": {"networks": ["none"]}})
	{denial.message | some denial in found} == {`building in network "" (default) is not allowed`}
}

test_a_network_is_allowed[name] if {
	some name, request in {
		"the default": examples.image_build,
		"the default by name": _build("networkmode", "default"),
		"an empty one": _build("networkmode", ""),
		"none": _build("networkmode", "none"),
		"another operation": examples.container_list,
	}
	found := build.denials with input as request
		with data.docker.authz.config as profiles.production
	count(found) == 0
}
