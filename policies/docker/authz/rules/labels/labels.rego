# METADATA
# title: Labels
# description: Programs such as proxies and updaters, and people, act on labels.
package docker.authz.rules.labels

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A required label must be set
# description: |
#   Applies to new containers, services and their containers, networks and volumes, and to secrets
#   and configs that are created or updated.
# custom:
#   id: labels.required
#   settings: [labels.required]
#   remedy: Add the label, with a value that the denial lists.
#   change: {remove: labels.required}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {labels.required: configured}
#   records: [body.Labels.*, body.TaskTemplate.ContainerSpec.Labels.*]
#   controls: [docker Tenants]
denials contains denial.of(
	"labels.required", field, name,
	sprintf("label %s is missing or has a value that is not allowed", [name]),
	denial.allowed(effective.list(["labels", "required", name])),
) if {
	input.operation.access == "write"
	some name, _ in effective.config.labels.required
	some field, labels in _labels
	not _has(labels, name)
}

# METADATA
# title: A reserved label must not be set
# description: |
#   Applies to labels that other programs act on, in upper and lower case, on every object that is
#   created or updated, in the labels of a build and in the changes of commit and import. The
#   labels of an image are not visible.
# custom:
#   id: labels.reserved
#   settings: [labels.reserved]
#   remedy: |
#     Leave the label out, or use another name. In changes, write LABEL NAME=VALUE, one on each
#     line.
#   change: {function: reserved_label}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {labels.reserved: configured}
#   records: [labels]
#   controls: [docker Tenants]
denials contains denial.of(
	"labels.reserved", object.get(label, "field", "Labels"), object.get(label, "name", null),
	sprintf("label %v is reserved", [object.get(label, "name", null)]),
	"leave it out (labels.reserved)",
) if {
	input.operation.access == "write"
	count(effective.list(["labels", "reserved_folded"])) > 0
	some label in input.labels
	not _free(label)
}

# METADATA
# title: The settings of labels must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: labels.unreadable
denials contains denial.of("labels.unreadable", "Labels", null, "what labels must be cannot be read", "") if {
	input.operation.access == "write"
	not _readable
}

_free(label) if {
	is_string(label.name)
	is_string(label.folded)
	not _reserved(label)
}

_reserved(label) if pattern.fits(effective.list(["labels", "reserved_folded"]), label.folded)

_has(labels, name) if pattern.fits(effective.config.labels.required[name], labels[name])

_labels := {"Labels": _own} if {
	input.operation.id in {
		"config.create", "config.update", "container.create", "network.create", "secret.create",
		"secret.update", "volume.create",
	}
}

_labels := {"Labels": _own, "TaskTemplate.ContainerSpec.Labels": _container_labels} if {
	input.operation.id in {"service.create", "service.update"}
}

_own := object.get(input, ["body", "Labels"], {})

_container_labels := object.get(input, ["body", "TaskTemplate", "ContainerSpec", "Labels"], {})

_readable if {
	is_array(input.labels)
	is_object(effective.config.labels.required)
	is_array(effective.config.labels.reserved_folded)
}
