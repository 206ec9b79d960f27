# METADATA
# title: The policy configuration in force
# description: |
#   Reads `data.docker.authz.config`, which the plugin writes: a profile with the operator's
#   changes, complete and checked against `policies/schemas/config.json`, and one more such
#   configuration for each role. The other packages get the caller's configuration from here.
#   `mounts` also reads the configurations of all roles.
package docker.authz.effective

import data.docker.authz.pattern

# METADATA
# title: The configuration for this caller
# description: |
#   That of the caller's role, or the one outside of roles. Undefined if any part is missing.
# scope: document
config := data.docker.authz.config if {
	role == ""
	_complete
}

config := data.docker.authz.config.roles[role] if role != ""

# METADATA
# title: The caller's role
# description: |
#   The first role that matches the caller, or the default role for a caller without a certificate.
#   Empty for unmatched callers.
# scope: document
default role := ""

role := _roles[0] if {
	count(_roles) > 0
} else := data.docker.authz.config.default_role if {
	is_string(data.docker.authz.config.default_role)
	_anonymous
}

# METADATA
# title: Whether unmatched callers are allowed
unmatched_callers := data.docker.authz.config.unmatched_callers

# METADATA
# title: Exceptions
exceptions := data.docker.authz.config.exceptions

# METADATA
# title: A list of the configuration
# description: |
#   Empty if the list is missing. If the text of a denial were undefined, the denial would be
#   undefined too. Texts therefore use this function and never the configuration itself.
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

_anonymous if {
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
