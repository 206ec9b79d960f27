# METADATA
# title: opa-authz
# description: |
#   Decides whether dockerd may execute a request. The plugin queries `decision`. Each package below
#   `rules` returns the denials of its own concern; only this file allows.
# scope: subpackages
# schemas:
#   - input: schema.input
#   - data.docker.authz.config: schema.config
package docker.authz

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: The decision
# description: |
#   Everything that the plugin needs to answer dockerd. The plugin refuses a decision in which a
#   rule package is missing, so the loss of a file never allows a request.
# entrypoint: true
decision := {
	"allow": _allow,
	"denials": _denials,
	"warnings": _warnings,
	"evaluated": _evaluated,
	"profile": effective.config.profile,
	"role": effective.role,
	"policy_revision": data.docker.authz.bundle.revision,
	"repeatable": _repeatable,
	"exceptions": _used,
}

# A decision is not repeatable if an exception may apply, because exceptions depend on the time, or
# if the operator has own rules that may depend on it.
default _repeatable := false

_repeatable if {
	count(_may_read_time) == 0
	_independent_of_time
}

# The embedded engine adds to the data which own packages certainly do not read the time.
_may_read_time contains name if {
	some name in data.docker.authz.bundle.packages
	startswith(name, "custom_")
	not name in object.get(data.docker.authz.bundle, "timeless", [])
}

_independent_of_time if count(_found) == 0

_independent_of_time if count(effective.exceptions) == 0

default _allow := false

_allow if {
	input.operation.id != ""
	count(_denials) == 0
}

_denials contains found if {
	some found in _found
	not _only_warns(found)
	not _excepted(found)
}

_denials contains denial.of(
	"request.policy", "", missing,
	sprintf("rule package %s of the policy did not answer", [missing]),
	"restore the policy files",
) if {
	some missing in ({name | some name in data.docker.authz.bundle.packages} - _evaluated)
}

_warnings contains found if {
	some found in _found
	_only_warns(found)
}

_warnings contains denial.of(
	"exceptions.expiring", found.field, found.value,
	sprintf("%s denies this after %s", [found.rule, exception.expires]),
	sprintf("renew the exception, made because: %s", [exception.reason]),
) if {
	some found in _found
	some exception in effective.exceptions
	_excepts(exception, found)
	time.parse_rfc3339_ns(input.time) >= time.parse_rfc3339_ns(exception.warn_from)
}

# The exceptions without which the request would be denied.
_used contains {
	"rule": found.rule,
	"field": found.field,
	"expires": exception.expires,
	"reason": exception.reason,
} if {
	some found in _found
	not _only_warns(found)
	some exception in effective.exceptions
	_excepts(exception, found)
}

_found contains found if {
	some denials in _answers
	some found in denials
}

_evaluated := object.keys(_answers)

# Only packages whose denials are a set count as evaluated: a Boolean contains no denials.
_answers[name] := denials if {
	some name
	denials := data.docker.authz.rules[name].denials
	is_set(denials)
}

_only_warns(found) if effective.config.rules[found.rule] == "warn"

_only_warns(found) if {
	effective.config.mode == "warn"
	not found.rule in object.keys(effective.config.rules)
}

_excepted(found) if {
	some exception in effective.exceptions
	_excepts(exception, found)
}

_excepts(exception, found) if {
	exception.rule == found.rule
	object.get(exception, "value", found.value) == found.value
	object.get(exception, "field", found.field) == found.field
	object.get(exception.when, "role", effective.role) == effective.role
	_for_image(exception.when)
	_parsable(input.time)
	time.parse_rfc3339_ns(input.time) < time.parse_rfc3339_ns(exception.until)
}

_for_image(when) if not "image" in object.keys(when)

# A reference that may be an id can refer to an image of any name, so no exception applies to it.
_for_image(when) if {
	some image in input.images
	image.action == "run"
	image.may_be_id == false
	some name in image.names
	pattern.fits([when.image], name)
}

# If the time cannot be parsed, no exception applies.
_parsable(moment) if {
	regex.match(`^20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`, moment)
}
