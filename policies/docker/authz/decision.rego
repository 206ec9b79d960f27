# METADATA
# title: opa-authz
# description: |
#   Whether dockerd may do what it was asked to do. The plugin asks for `decision`; the packages
#   below `rules` say no, each to its own concern, and this file alone says yes.
# scope: subpackages
# schemas:
#   - input: schema.input
#   - data.docker.authz.config: schema.config
package docker.authz

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: The decision
# description: |
#   Everything that the plugin needs to answer dockerd. The plugin refuses a decision in which a
#   rule package did not answer, so a lost file cannot open the door.
# entrypoint: true
decision := {
	"allow": _allow,
	"denials": _denials,
	"warnings": _warnings,
	"evaluated": _evaluated,
	"profile": effective.config.profile,
	"policy_revision": data.docker.authz.bundle.revision,
}

default _allow := false

_allow if {
	input.operation.known == true
	count(_denials) == 0
}

_denials contains found if {
	some found in _found
	not _only_warns(found)
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

_found contains found if {
	some name, found
	data.docker.authz.rules[name].denials[found]
}

_evaluated contains name if {
	some name
	data.docker.authz.rules[name].denials
}

_only_warns(found) if effective.config.rules[found.rule] == "warn"

_only_warns(found) if {
	effective.config.mode == "warn"
	not found.rule in object.keys(effective.config.rules)
}
