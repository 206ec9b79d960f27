package docker.authz.rules.users_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.users

test_denied[name] if {
	some name, [request, changes, rules] in {
		"a container as root": [_user("root", "container"), _strict, {"users.container"}],
		"a container as named": [_user("named", "container"), _strict, {"users.container"}],
		"a container as default": [_user("default", "container"), _strict, {"users.container"}],
		"an exec as root": [_user("root", "exec"), _strict, {"users.exec"}],
		"an exec as a name": [_user("named", "exec"), _strict, {"users.exec"}],
		"a user of no sort": [
			object.union(examples.container_create_full, {"users": [{}]}),
			_strict,
			{"users.container"},
		],
		"an exec of no sort": [
			object.union(examples.container_create_full, {"users": [{"process": "exec"}]}),
			_strict,
			{"users.exec"},
		],
	}
	found := users.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a container as a number": [examples.container_create_full, _strict],
		"an exec as the container's user": [examples.exec_create, _strict],
		"anybody": [examples.container_create, {}],
		"a list": [examples.container_list, _strict],
	}
	found := users.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_strict := {"users": {"containers": ["numeric"], "execs": ["default", "numeric"]}}

_user(kind, process) := object.union(
	examples.container_create_full,
	{"users": [{"process": process, "name": "x", "sort": kind, "field": "User"}]},
)

test_message[user] if {
	some user, shown in {"named": "node (named)", "default": "the default user"}
	name := {"named": "node", "default": ""}[user]
	request := object.union(
		examples.container_create_full,
		{"users": [{"process": "container", "sort": user, "name": name, "field": "User"}]},
	)
	found := users.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, _strict)
	{denial.message | some denial in found} == {sprintf("containers must not run as %s", [shown])}
}
