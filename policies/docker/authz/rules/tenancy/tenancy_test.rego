package docker.authz.rules.tenancy_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.tenancy

test_denied[name] if {
	some name, [request, changes, rules] in {
		"another's container": [_named({"name": "red-web"}), _blue, {"tenancy.name"}],
		"an alias of a link": [_named({"name": "blue-web/red"}), _blue, {"tenancy.name"}],
		"a short id": [_named({"name": "0a1b2c"}), _blue, {"tenancy.name"}],
		"a name that is not known": [_named({"name": null}), _blue, {"tenancy.name"}],
		"a whole id where only names count": [
			_named({"name": "0000000000000000000000000000000000000000000000000000000000000000", "full_id": true}),
			object.union(_blue, {"tenancy": {"full_ids": false}}),
			{"tenancy.name"},
		],
		"a name that looks like an id": [
			_named({"use": "make", "name": "0000000000000000000000000000000000000000000000000000000000000000", "full_id": true}),
			_blue,
			{"tenancy.name"},
		],
		"no name where only names count": [
			_unnamed,
			object.union(_blue, {"tenancy": {"full_ids": false}}),
			{"tenancy.name"},
		],
		"no name for what is used": [_named({"name": ""}), _blue, {"tenancy.name"}],
		"another's container made": [_labelled("web", "blue"), _blue, {"tenancy.name"}],
		"no label": [_labelled("blue-web", "red"), _blue, {"tenancy.label"}],
		"a service whose containers have no label": [_blue_service({}), _blue, {"tenancy.label"}],
		"a list of everything": [examples.container_list, _blue, {"tenancy.filter"}],
		"a filter that is not known": [
			json.remove(examples.container_list_filtered, ["/filters"]),
			_blue,
			{"tenancy.filter", "tenancy.unreadable"},
		],
		"disk usage": [examples.disk_usage, _blue, {"tenancy.everybody"}],
		"references that are not known": [
			json.remove(examples.container_start, ["/references"]),
			_blue,
			{"tenancy.unreadable"},
		],
	}
	found := tenancy.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a container of its own": [_named({}), _blue],
		"a whole id": [
			_named({"name": "0000000000000000000000000000000000000000000000000000000000000000", "full_id": true}),
			_blue,
		],
		"a container without name": [_unnamed, _blue],
		"a container with name and label": [_labelled("blue-web", "blue"), _blue],
		"a filtered list": [examples.container_list_filtered, _blue],
		"a service of its own": [_blue_service({"tenant": "blue"}), _blue],
		"a secret's empty id": [_named({"kind": "secret", "name": ""}), _blue],
		"no tenancy": [_named({"name": "red-web"}), {}],
		"a list without tenancy": [examples.container_list, {}],
		"disk usage without tenancy": [examples.disk_usage, {}],
	}
	found := tenancy.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_named(changes) := object.union(
	examples.container_start,
	{"references": [object.union(_own, changes)]},
)

_own := {
	"kind": "container",
	"name": "blue-web",
	"use": "use",
	"full_id": false,
	"field": "f",
}

_blue := {"tenancy": {"names": ["blue-*"], "labels": {"tenant": "blue"}}}

_labelled(name, tenant) := object.union(examples.container_create, {
	"body": {"Labels": {"tenant": tenant}},
	"references": [{
		"kind": "container",
		"name": name,
		"use": "make",
		"full_id": false,
		"field": "query.name",
	}],
})

_unnamed := _labelled("", "blue")

_blue_service(labels) := object.union(examples.service_create, {
	"body": {"Labels": {"tenant": "blue"}, "TaskTemplate": {"ContainerSpec": {"Labels": labels}}},
	"references": [],
})
