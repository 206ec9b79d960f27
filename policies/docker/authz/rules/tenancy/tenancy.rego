# METADATA
# title: Tenancy
# description: |
#   Separates several callers on one dockerd without a record of who created what. The objects of
#   a tenant have names and labels that belong to it, and a tenant can name no other objects.
#   Because an id can replace a name, a list must be filtered by the tenant's labels, and only
#   whole ids may be used.
package docker.authz.rules.tenancy

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: An object must have one of the tenant's names
# description: |
#   Applies to containers, networks, volumes, services, secrets and configs that are created or
#   used. A name with a slash is the alias of a link and names another container. A name that may
#   be an id or the beginning of one matches no pattern: a tenant's names must contain a character
#   that no id has, such as - or _, or be listed in full.
# custom:
#   id: tenancy.name
#   settings: [tenancy.names, tenancy.full_ids]
#   remedy: Use a name that the denial lists, with - or _ in it, or the whole id of your own object.
#   change: {add: tenancy.names, from: references.name}
#   danger: may belong to another tenant
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
	not _unrestricted
	some reference in input.references
	not _own(reference)
}

# METADATA
# title: What a tenant creates must have its labels
# description: |
#   Lists are filtered by these labels. An update of a secret, a config or a service replaces all
#   labels.
# custom:
#   id: tenancy.label
#   settings: [tenancy.labels]
#   remedy: Add the label that the denial names.
#   change: {remove: tenancy.labels}
#   danger: new objects are no longer marked as the tenant's
#   baseline: {tenancy.labels: configured}
#   records: [body.Labels.*, body.TaskTemplate.ContainerSpec.Labels.*]
#   controls: [docker Tenants]
denials contains denial.of(
	"tenancy.label", "Labels", name,
	sprintf("label %s=%s is missing", [name, value]),
	"add it (tenancy.labels)",
) if {
	_labels_wanted
	_makes
	some name, value in effective.config.tenancy.labels
	not _labelled(name, value)
}

# METADATA
# title: What a tenant lists must be filtered by its labels
# description: |
#   Without a filter, lists, events and prunes show or remove the objects of all tenants. Lists of a
#   swarm accept any one of several values for a label, so the tenant's value must be the only one.
# custom:
#   id: tenancy.filter
#   settings: [tenancy.labels]
#   remedy: Filter by the label that the denial names, with --filter label=NAME=VALUE.
#   change: {remove: tenancy.labels}
#   danger: shows objects of other tenants
#   records: [label_filters]
#   controls: [docker Tenants]
denials contains denial.of(
	"tenancy.filter", "query.filters", name,
	sprintf("a filter label=%s=%s is missing, or not the only one for this label", [name, value]),
	"give it once and no other for this label (tenancy.labels)",
) if {
	_labels_wanted
	_lists
	some name, value in effective.config.tenancy.labels
	not _filtered(name, value)
}

# METADATA
# title: A tenant must not use operations that show the objects of all tenants
# description: |
#   Disk usage has no filter. The swarm and its tasks are not limited to one tenant either.
# custom:
#   id: tenancy.everybody
#   settings: [tenancy.names, tenancy.labels]
#   remedy: Inspect your own objects one by one.
#   controls: [docker Tenants]
denials contains denial.of(
	"tenancy.everybody", "operation", input.operation.id,
	"this shows what is other tenants'", "",
) if {
	not _no_tenancy
	input.operation.id in {"system.df", "swarm.inspect", "task.list", "task.inspect", "task.logs"}
}

# METADATA
# title: References must be readable
# description: Denies what the rules above could not judge.
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

_unrestricted if "*" in effective.config.tenancy.names

_no_tenancy if {
	_unrestricted
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

# A container or volume without a name gets a random name. A service refers to a secret or config by
# a name or an id, and the other one is empty.
_may_be_empty(reference) if {
	reference.use == "make"
	effective.config.tenancy.full_ids == true
}

_may_be_empty(reference) if reference.kind in {"config", "secret"}

_labels_wanted if effective.config.tenancy.labels != {}

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
