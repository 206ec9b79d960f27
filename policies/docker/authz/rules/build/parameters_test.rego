package docker.authz.rules.build_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.build

test_parameters_denied[name] if {
	some name, [request, changes, rules] in {
		"a remote context": [_build("remote", "http://x/app.git"), {}, {"build.remote"}],
		"a parent cgroup": [_build("cgroupparent", "system.slice"), {}, {"build.cgroup-parent"}],
		"an output": [_build("outputs", "[{\"Type\": \"registry\"}]"), {}, {"build.output"}],
	}
	found := build.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_parameters_allowed[name] if {
	some name, [request, changes] in {
		"a context of the client's": [examples.image_build, {}],
		"a context in BuildKit's session": [_build("remote", "client-session"), {}],
		"an allowed remote": [
			_build("remote", "https://git.example/app.git"),
			{"build": {"remotes": ["https://git.example/*"]}},
		],
		"any parent cgroup": [_build("cgroupparent", "x.slice"), {"build": {"cgroup_parents": ["*"]}}],
		"an output where that is allowed": [_build("outputs", "[1]"), {"build": {"outputs": true}}],
		"no output": [_build("outputs", "[]"), {}],
		"a list": [examples.container_list, {}],
	}
	found := build.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_build(parameter, value) := object.union(examples.image_build, {"request": {"query": {parameter: [value]}}})
