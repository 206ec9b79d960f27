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
			{"users.container", "users.group"},
		],
		"a container in root's group": [_group("root", "container"), _grouped, {"users.group"}],
		"an exec in a group by its name": [_group("named", "exec"), _grouped, {"users.group"}],
		"an exec of no sort": [
			object.union(examples.container_create_full, {"users": [{"process": "exec"}]}),
			_strict,
			{"users.exec", "users.group"},
		],
	}
	found := users.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a container as a number": [examples.container_create_full, _strict],
		"a container in a group by its number": [_group("numeric", "container"), _grouped],
		"an exec in its user's own group": [_group("default", "exec"), _grouped],
		"an exec as the container's user": [examples.exec_create, _strict],
		"anybody": [examples.container_create, {}],
		"a list": [examples.container_list, _strict],
	}
	found := users.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_strict := {"users": {"containers": ["numeric"], "execs": ["default", "numeric"]}}

_grouped := {"users": {"groups": ["default", "numeric"]}}

_user(kind, process) := object.union(
	examples.container_create_full,
	{"users": [{"process": process, "name": "x", "sort": kind, "group": "default", "field": "User"}]},
)

_group(kind, process) := object.union(
	examples.container_create_full,
	{"users": [{"process": process, "name": "x", "sort": "numeric", "group": kind, "field": "User"}]},
)

test_message[user] if {
	some user, shown in {"named": "node (named)", "default": "the default user"}
	name := {"named": "node", "default": ""}[user]
	request := object.union(
		examples.container_create_full,
		{"users": [{"process": "container", "sort": user, "group": "default", "name": name, "field": "User"}]},
	)
	found := users.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, _strict)
	{denial.message | some denial in found} == {sprintf("containers must not run as %s", [shown])}
}
