# METADATA
# title: Labels
# description: Whatever reads labels (proxies, updaters, people) does what they say.
package docker.authz.rules.labels

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A required label must be there
# description: |
#   On new containers, services and their containers, networks and volumes, and on secrets and
#   configs, new and changed.
# custom:
#   id: labels.required
#   settings: [labels.required]
#   remedy: Add the label, with a value that the denial lists.
#   change: {remove: labels.required}
#   danger: your configuration demands it, and would no longer
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
#   Labels that others act on, in any case, on whatever is made or changed, in a build's labels and
#   in the changes of commit and import. Labels that an image brings are out of sight.
# custom:
#   id: labels.reserved
#   settings: [labels.reserved]
#   remedy: |
#     Leave the label out, or take a name of your own; in changes write LABEL NAME=VALUE, a line each.
#   change: {function: reserved_label}
#   danger: your configuration demands it, and would no longer
#   baseline: {labels.reserved: configured}
#   records: [labels]
#   controls: [docker Tenants]
denials contains denial.of(
	"labels.reserved", object.get(label, "field", "Labels"), object.get(label, "name", null),
	sprintf("label %v is reserved", [object.get(label, "name", null)]),
	"leave it out (labels.reserved)",
) if {
	input.operation.access == "write"
	count(effective.list(["labels", "reserved"])) > 0
	some label in input.labels
	not _free(label)
}

# METADATA
# title: What labels must be must be readable
# description: Denies what the rules above could not look at.
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

_reserved(label) if {
	pattern.fits([lower(upper(reserved)) | some reserved in effective.list(["labels", "reserved"])], label.folded)
}

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
	is_array(effective.config.labels.reserved)
}
