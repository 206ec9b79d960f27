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
			json.remove(examples.container_list_filtered, ["/label_filters"]),
			_blue,
			{"tenancy.filter", "tenancy.unreadable"},
		],
		"the start of an id that fits a pattern": [
			_named({"name": "b1", "may_be_id": true}),
			object.union(_blue, {"tenancy": {"names": ["b*"]}}),
			{"tenancy.name"},
		],
		"another value beside the tenant's": [
			_filters([_tenant({}), _tenant({"value": "red"})]),
			_blue,
			{"tenancy.filter"},
		],
		"the label alone beside the tenant's": [
			_filters([_tenant({}), _tenant({"value": null})]),
			_blue,
			{"tenancy.filter"},
		],
		"the tenant's label excluded": [
			_filters([_tenant({}), _tenant({"excluded": true})]),
			_blue,
			{"tenancy.filter"},
		],
		"a label of nothing beside the tenant's": [
			_filters([_tenant({}), {}]),
			_blue,
			{"tenancy.filter"},
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
		"a filter with another label": [_filters([_tenant({}), _tenant({"name": "app", "value": "web"})]), _blue],
		"what may be an id and is written out": [
			_named({"name": "b1", "may_be_id": true}),
			object.union(_blue, {"tenancy": {"names": ["b1"]}}),
		],
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

_filters(labels) := object.union(examples.container_list, {"label_filters": labels})

_tenant(changes) := object.union({"name": "tenant", "value": "blue", "excluded": false}, changes)

_named(changes) := object.union(
	examples.container_start,
	{"references": [object.union(_own, changes)]},
)

_own := {
	"kind": "container",
	"name": "blue-web",
	"use": "use",
	"full_id": false,
	"may_be_id": false,
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
		"may_be_id": false,
		"field": "query.name",
	}],
})

_unnamed := _labelled("", "blue")

_blue_service(labels) := object.union(examples.service_create, {
	"body": {"Labels": {"tenant": "blue"}, "TaskTemplate": {"ContainerSpec": {"Labels": labels}}},
	"references": [],
})
