# METADATA
# title: Sections and operations
# description: Which parts of the Docker API may be used, section by section or one by one.
package docker.authz.rules.sections

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: An operation must be open
# description: |
#   An operation is open if `operations` allows it, or if `operations` does not deny it and its
#   section is open for its access (read or write).
# custom:
#   id: sections.operation
#   settings: [operations, sections]
#   remedy: Use an open operation, or ask the operator of this host to open this one by its id.
#   change: {function: operation}
#   danger:
#     harmless: [plugin.inspect, plugin.privileges]
#     values:
#       build.grpc: allows any build; no rule can check it
#       container.checkpoint.*: creates, lists and removes directories of the host, as root
#       debug.*: shows dockerd's memory
#       node.remove: removes hosts from the swarm
#       plugin.list: allows docker plugin ls, whose denial shows that the plugin is asked
#       plugin.*: a plugin is a program that runs as root on the host
#       swarm.inspect: shows the tokens with which a host joins the swarm
#       swarm.unlock-key: shows the key that the swarm's secrets are encrypted with
#       swarm.*: can give others control of this host or its swarm
#   controls: [cis 5.1, owasp Poisoned images, owasp Exposed secrets, owasp Insecure network,
#     nist 4.1.1, nist 4.1.5, nist 4.2.3, nist 4.3.1, nist 4.3.5]
denials contains denial.of(
	"sections.operation", "operation", _id,
	sprintf("not allowed in profile %s", [_profile]),
	_hint,
) if {
	not _open
}

_open if effective.config.operations[input.operation.id] == "allow"

_open if {
	is_object(effective.config.operations)
	id := input.operation.id
	not effective.config.operations[id]
	_section_open
}

_section_open if {
	effective.config.sections[input.operation.section] == "write"
	input.operation.access in {"read", "write"}
}

_section_open if {
	effective.config.sections[input.operation.section] == "read"
	input.operation.access == "read"
}

default _profile := "unknown"

_profile := effective.config.profile

default _id := "this operation"

_id := input.operation.id

_hint := concat("; ", array.concat(_reasons, [_sections]))

default _reasons := []

_reasons := [
	sprintf("operation %s is denied by name", [_id]),
	concat("", ["opened by ", _by_name, _of_role]),
] if {
	effective.config.operations[_id] == "deny"
} else := [concat("", ["opened by ", concat(" or ", _keys), _of_role])] if {
	count(_keys) > 0
}

_keys := array.concat(_by_section, [_by_name | input.operation.id != ""])

_by_name := sprintf("operations: {%s: allow}", [_id])

_by_section := [key |
	input.operation.id != ""
	is_string(effective.config.sections[input.operation.section])
	not _id in object.keys(effective.config.operations)
	input.operation.access in {"read", "write"}
	key := sprintf("sections: {%s: %s}", [input.operation.section, input.operation.access])
]

default _of_role := ""

_of_role := sprintf(" of role %s", [effective.role]) if effective.role != ""

_sections := concat("", ["open sections: ", concat(", ", sort(_open_sections))])

_open_sections contains section if some section, "write" in effective.config.sections

_open_sections contains concat("", [section, " (read)"]) if {
	some section, "read" in effective.config.sections
}
