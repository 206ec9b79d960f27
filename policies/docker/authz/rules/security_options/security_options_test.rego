package docker.authz.rules.security_options_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.security_options

test_a_value_is_denied[name] if {
	some name, option in {
		"no seccomp": _option("seccomp", "unconfined"),
		"a seccomp profile in the request": _option("seccomp", "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}"),
		"no AppArmor": _option("apparmor", "unconfined"),
		"no SELinux": _option("label", "disable"),
		"privileges that are regained": _option("no-new-privileges", "false"),
		"writable cgroups": _option("writable-cgroups", "true"),
		"an option that nobody knows": _option("new", "x"),
		"an option without a name": {"value": "true", "field": "x"},
		"an option without a value": {"name": "no-new-privileges", "field": "x"},
		"nothing that is said": {},
	}
	found := security_options.denials with input as _request(option)
		with data.docker.authz.config as profiles.production
	{denial.rule | some denial in found} == {"security-options.value"}
}

test_a_value_is_allowed[name] if {
	some name, option in {
		"privileges that cannot be gained": _option("no-new-privileges", "true"),
		"the seccomp profile of the engine": _option("seccomp", "builtin"),
		"the AppArmor profile of the engine": _option("apparmor", "docker-default"),
	}
	found := security_options.denials with input as _request(option)
		with data.docker.authz.config as profiles.production
	count(found) == 0
}

test_a_value_fits_a_pattern if {
	found := security_options.denials with input as _request(_option("label", "level:s0:c1"))
		with data.docker.authz.config as _labels(["level:*"])
	count(found) == 0
}

test_a_pattern_is_for_values_of_its_own_option[name] if {
	some name, option in {
		"another value": _option("label", "disable"),
		"another option": _option("seccomp", "level:s0"),
		"no value": {"name": "label", "field": "x"},
	}
	found := security_options.denials with input as _request(option)
		with data.docker.authz.config as _labels(["level:*"])
	count(found) == 1
}

test_paths_are_denied[name] if {
	some name, request in {
		"masked paths that are none": _paths({"MaskedPaths": []}),
		"fewer masked paths": _paths({"MaskedPaths": ["/proc/kcore"]}),
		"read-only paths that are none": _paths({"ReadonlyPaths": []}),
		"masked paths that are not said": json.remove(
			examples.container_create,
			["/body/HostConfig/MaskedPaths"],
		),
		"read-only paths that are not said": json.remove(
			examples.container_create,
			["/body/HostConfig/ReadonlyPaths"],
		),
	}
	found := security_options.denials with input as request
		with data.docker.authz.config as profiles.production
	{denial.rule | some denial in found} == {"security-options.paths"}
}

test_paths_are_allowed[name] if {
	some name, [request, changes] in {
		"paths as they are": [examples.container_create, {}],
		"other paths where that is allowed": [
			_paths({"MaskedPaths": [], "ReadonlyPaths": []}),
			{"security_options": {"paths": true}},
		],
		"another operation": [examples.exec_create, {}],
	}
	found := security_options.denials with input as request
		with data.docker.authz.config as object.union(profiles.production, changes)
	count(found) == 0
}

test_the_hint_lists_what_is_allowed if {
	found := security_options.denials with input as _request(_option("seccomp", "unconfined"))
		with data.docker.authz.config as profiles.production
	hints := {denial.hint | some denial in found}
	hints == {"allowed: apparmor=docker-default, no-new-privileges=true, seccomp=builtin"}
}

test_without_configuration_nothing_is_allowed if {
	found := security_options.denials with input as _request(_option("no-new-privileges", "true"))
		with data.docker.authz.config as {}
	count(found) == 1
}

_request(option) := object.union(examples.container_create, {"security_options": [option]})

_labels(values) := object.union(profiles.production, {"security_options": {"allow": {"label": values}}})

_option(name, value) := {"name": name, "value": value, "field": "HostConfig.SecurityOpt[0]"}

_paths(changes) := object.union(examples.container_create, {"body": {"HostConfig": changes}})
