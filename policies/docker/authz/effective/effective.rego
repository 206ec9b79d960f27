# METADATA
# title: The policy configuration in force
# description: |
#   The only reader of `data.docker.authz.config`, which the plugin writes: a profile with the
#   operator's changes, complete and checked against `policies/schemas/config.json`; for each role
#   another such one.
package docker.authz.effective

import data.docker.authz.pattern

# METADATA
# title: The configuration for this caller
# description: The caller's role's, or the one for everybody; undefined where any of it is lost.
# scope: document
config := data.docker.authz.config if {
	role == ""
	_complete
}

config := data.docker.authz.config.roles[role] if role != ""

# METADATA
# title: The caller's role
# description: |
#   The first role that fits the caller, or for a caller without certificate the default role;
#   empty for unmatched callers.
# scope: document
default role := ""

role := _roles[0] if {
	count(_roles) > 0
} else := data.docker.authz.config.default_role if {
	is_string(data.docker.authz.config.default_role)
	_nameless
}

# METADATA
# title: What unmatched callers get
unmatched_callers := data.docker.authz.config.unmatched_callers

# METADATA
# title: Exceptions
exceptions := data.docker.authz.config.exceptions

# METADATA
# title: A list of the configuration
# description: |
#   Empty where there is none. A denial whose text cannot be made would be no denial, so texts are
#   made of this and never of the configuration itself.
# scope: document
default list(_) := []

list(path) := object.get(config, path, [])

_roles := [name |
	some name in data.docker.authz.config.role_order
	_has(name)
]

_has(name) if {
	some line in data.docker.authz.config.roles[name].callers
	_fits(line)
}

_fits(line) if {
	count(line) > 0
	every part, wanted in line { _fits_part(part, wanted) }
}

_fits_part(part, wanted) if {
	part == "user"
	pattern.fits([wanted], input.caller.user)
}

_fits_part(part, wanted) if {
	part == "certificate"
	certificate := input.caller.certificates[0]
	every field, text in wanted { _fits_field(certificate, field, text) }
}

_fits_field(certificate, field, text) if {
	field == "CN"
	pattern.fits([text], certificate.subject.CN)
}

_fits_field(certificate, field, text) if {
	field in {"O", "OU"}
	some name in certificate.subject[field]
	pattern.fits([text], name)
}

_fits_field(certificate, field, text) if {
	field == "SAN"
	some name in certificate.sans
	pattern.fits([text], name)
}

_fits_field(certificate, field, text) if {
	field == "sha256"
	text == certificate.sha256
}

_nameless if {
	input.caller.user == ""
	input.caller.certificates == []
}

_complete if {
	is_object(data.docker.authz.config.roles)
	is_array(data.docker.authz.config.role_order)
	_default_is_known
}

_default_is_known if is_null(data.docker.authz.config.default_role)

_default_is_known if is_string(data.docker.authz.config.default_role)
