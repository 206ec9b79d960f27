# METADATA
# title: Tenancy
# description: |
#   Several callers on one dockerd that do not meet, without any memory of who made what: a
#   tenant's things have names and labels of its own, and a tenant names nothing else. Ids are a way
#   around names, so a list must filter by the tenant's labels, and only whole ids may be used.
package docker.authz.rules.tenancy

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A thing must have one of the tenant's names
# description: |
#   Containers, networks, volumes, services, secrets and configs, made or used. A slash is a link's
#   alias and names another container. What may be an id or the beginning of one fits no pattern: a
#   tenant's names hold a character that no id has, as - or _, or are written out.
# custom:
#   id: tenancy.name
#   settings: [tenancy.names, tenancy.full_ids]
#   remedy: Use a name that the denial lists, with - or _ in it, or the whole id of what is yours.
#   change: {add: tenancy.names, from: references.name}
#   danger: may be another tenant's
#   baseline: {tenancy.names: configured, tenancy.full_ids: configured}
#   records: [references, query.name]
#   controls: [docker Tenants]
denials contains denial.of(
	"tenancy.name", object.get(reference, "field", "path"), object.get(reference, "name", null),
	sprintf("%s %v is not this tenant's", [
		object.get(reference, "kind", "thing"),
		object.get(reference, "name", "unknown"),
	]),
	denial.allowed(effective.list(["tenancy", "names"])),
) if {
	not _open
	some reference in input.references
	not _own(reference)
}

# METADATA
# title: What a tenant makes must have its labels
# description: |
#   Lists are filtered by them. An update of a secret, a config or a service sets all labels anew.
# custom:
#   id: tenancy.label
#   settings: [tenancy.labels]
#   remedy: Add the label that the denial names.
#   change: {remove: tenancy.labels}
#   danger: what is made is no longer known as theirs
#   baseline: {tenancy.labels: configured}
#   records: [body.Labels.*, body.TaskTemplate.ContainerSpec.Labels.*]
#   controls: [docker Tenants]
denials contains denial.of(
	"tenancy.label", "Labels", name,
	sprintf("label %s=%s is missing", [name, value]),
	"add it (tenancy.labels)",
) if {
	_makes
	some name, value in effective.config.tenancy.labels
	not _labelled(name, value)
}

# METADATA
# title: What a tenant lists must be filtered by its labels
# description: |
#   Lists, events and prunes show or remove what is everybody's. Of several values for one label
#   a swarm's lists keep any one, so the tenant's value must be the only one.
# custom:
#   id: tenancy.filter
#   settings: [tenancy.labels]
#   remedy: Filter by the label that the denial names, with --filter label=NAME=VALUE.
#   change: {remove: tenancy.labels}
#   danger: shows what is other tenants'
#   records: [label_filters]
#   controls: [docker Tenants]
denials contains denial.of(
	"tenancy.filter", "query.filters", name,
	sprintf("a filter label=%s=%s is missing, or not the only one for this label", [name, value]),
	"give it once and no other for this label (tenancy.labels)",
) if {
	_lists
	some name, value in effective.config.tenancy.labels
	not _filtered(name, value)
}

# METADATA
# title: What shows everybody's things is no tenant's
# description: Disk usage has no filter.
# custom:
#   id: tenancy.everybody
#   settings: [tenancy.names, tenancy.labels]
#   remedy: Ask for what is yours one by one.
#   controls: [docker Tenants]
denials contains denial.of(
	"tenancy.everybody", "operation", input.operation.id,
	"this shows what is other tenants'", "",
) if {
	input.operation.id in {"system.df", "swarm.inspect", "task.list", "task.inspect", "task.logs"}
	not _alone
}

# METADATA
# title: References must be readable
# description: Denies what the rules above could not look at.
# custom:
#   id: tenancy.unreadable
denials contains denial.of("tenancy.unreadable", "references", null, "what the request names cannot be read", "") if {
	not _readable
}

_readable if {
	is_array(input.references)
	is_array(input.label_filters)
	is_array(effective.config.tenancy.names)
	is_object(effective.config.tenancy.labels)
}

_open if "*" in effective.config.tenancy.names

_alone if {
	_open
	effective.config.tenancy.labels == {}
}

_own(reference) if {
	not contains(reference.name, "/")
	_named(reference)
}

_own(reference) if {
	reference.use == "use"
	reference.full_id == true
	effective.config.tenancy.full_ids == true
}

_own(reference) if {
	reference.name == ""
	_may_be_empty(reference)
}

_named(reference) if reference.name in effective.config.tenancy.names

_named(reference) if {
	reference.may_be_id == false
	pattern.fits(effective.config.tenancy.names, reference.name)
}

# A container or volume without name gets a random one; a service's secret has a name or an id.
_may_be_empty(reference) if {
	reference.use == "make"
	effective.config.tenancy.full_ids == true
}

_may_be_empty(reference) if reference.kind in {"config", "secret"}

_makes if {
	input.operation.id in {
		"config.create", "config.update", "container.create", "network.create", "secret.create",
		"secret.update", "service.create", "service.update", "volume.create",
	}
}

_labelled(name, value) if {
	input.body.Labels[name] == value
	not _unlabelled_task(name, value)
}

_unlabelled_task(name, value) if {
	input.operation.id in {"service.create", "service.update"}
	object.get(input, ["body", "TaskTemplate", "ContainerSpec", "Labels", name], null) != value
}

_lists if {
	input.operation.id in {
		"config.list", "container.list", "container.prune", "network.list", "network.prune",
		"secret.list", "service.list", "system.events", "volume.list", "volume.prune",
	}
}

_filtered(name, value) if {
	not _filtered_otherwise(name, value)
	some filter in input.label_filters
	object.get(filter, "name", null) == name
	_only(filter, value)
}

_filtered_otherwise(name, value) if {
	some filter in input.label_filters
	object.get(filter, "name", name) == name
	not _only(filter, value)
}

_only(filter, value) if {
	filter.value == value
	filter.excluded == false
}
