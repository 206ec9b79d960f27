package docker.authz.rules.privileged_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.privileged

test_denied[name] if {
	some name, [request, rule] in {
		"a privileged container": [_container({"Privileged": true}), "privileged.container"],
		"a container that does not say": [
			json.remove(examples.container_create, ["/body/HostConfig/Privileged"]),
			"privileged.container",
		],
		"a privileged exec": [_exec(true), "privileged.exec"],
		"an exec that does not say": [
			json.remove(examples.exec_create, ["/body/Privileged"]),
			"privileged.exec",
		],
	}
	found := privileged.denials with input as request
		with data.docker.authz.config as profiles.production
	{denial.rule | some denial in found} == {rule}
}

test_allowed[name] if {
	some name, [request, config] in {
		"an ordinary container": [examples.container_create, profiles.production],
		"an ordinary exec": [examples.exec_create, profiles.production],
		"something else": [examples.container_list, profiles.production],
		"a privileged container where that is allowed": [_container({"Privileged": true}), _lenient],
		"a privileged exec where that is allowed": [_exec(true), _lenient],
	}
	found := privileged.denials with input as request
		with data.docker.authz.config as config
	count(found) == 0
}

_lenient := object.union(profiles.production, {"privileged": {"allow": true}})

_container(changes) := object.union(examples.container_create, {"body": {"HostConfig": changes}})

_exec(privileged) := object.union(examples.exec_create, {"body": {"Privileged": privileged}})
