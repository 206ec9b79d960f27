# METADATA
# title: The request itself
# description: |
#   Requests whose meaning is not certain. The plugin refuses most of them before it queries the
#   policy. The rules here judge those about which the operator decides.
package docker.authz.rules.request

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A body must hold known fields only
# description: |
#   A field that no engine known to this version reads is either a mistake or new. If it is new, a
#   newer engine may act on a value that no rule has judged.
# custom:
#   id: request.unknown-field
#   settings: [request.unknown_fields]
#   remedy: Correct the field's name, or leave the field out.
#   change: {set: request.unknown_fields, to: ignore}
#   danger: a newer dockerd may act on fields that no rule judges
denials contains denial.of(
	"request.unknown-field", field, null,
	sprintf("field %s is not known", [field]),
	"leave it out, or set request.unknown_fields: ignore",
) if {
	not _unknown_ignored
	some field in input.request.unknown_fields
}

# METADATA
# title: The input document must be complete
# description: Denies what the other rules could not judge.
# custom:
#   id: request.incomplete
#   remedy: Tell the operator of this host that its plugin and policies are of different versions.
#   records: [filters]
denials contains denial.of(
	"request.incomplete", "", null,
	"the input document is not complete", "the plugin and its policies are of different versions",
) if {
	not _complete
}

_unknown_ignored if effective.config.request.unknown_fields == "ignore"

_complete if {
	input.version == 1
	input.phase == "request"
	is_string(input.caller.user)
	is_array(input.caller.certificates)
	is_array(input.mounts)
	is_array(input.capabilities)
	is_array(input.namespaces)
	is_array(input.security_options)
	is_array(input.request.unknown_fields)
	is_boolean(input.request.query_authoritative)
	input.operation.access in {"read", "write"}
	_body_complete
	_lists_complete
}

_lists_complete if {
	is_array(input.users)
	is_array(input.limits)
	is_array(input.ulimits)
	is_array(input.sysctls)
	is_array(input.tmpfs)
	is_array(input.log_drivers)
	is_array(input.images)
	is_array(input.ports)
	is_array(input.endpoints)
	is_array(input.hosts)
	is_array(input.references)
	is_object(input.filters)
}

_body_complete if {
	input.body_state == "present"
	not is_null(input.body)
}

_body_complete if {
	input.body_state in {"none", "invisible"}
	is_null(input.body)
}
