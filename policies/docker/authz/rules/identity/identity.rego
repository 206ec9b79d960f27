# METADATA
# title: Who asks
# description: |
#   Callers are known by their TLS certificate alone; on the unix socket everybody is the same.
package docker.authz.rules.identity

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A caller must have a role where unmatched callers are denied
# description: A stranger is whoever no role fits and, without a certificate, no default role is for.
# custom:
#   id: identity.unmatched-caller
#   settings: [unmatched_callers, roles, default_role]
#   remedy: Connect with a client certificate that has a role.
#   change: {set: unmatched_callers, to: allow}
#   danger: everybody without a role gets what stands outside of roles
#   controls: [docker Tenants]
denials contains denial.of(
	"identity.unmatched-caller", "caller.user", object.get(input, ["caller", "user"], ""),
	"this caller has no role",
	"ask with a client certificate that has one (roles)",
) if {
	not _known
}

# METADATA
# title: A certificate must not have been taken back
# description: "`opa-authz identity revoke` takes a certificate back, from the next request on."
# custom:
#   id: identity.revoked
#   remedy: Ask the operator of this host for another certificate.
denials contains denial.of(
	"identity.revoked", "caller.certificates", object.get(input, ["caller", "user"], ""),
	"this certificate was revoked",
	"ask the operator of this host for another",
) if {
	not _in_good_standing
}

_in_good_standing if input.caller.revoked == false

_known if effective.role != ""

_known if effective.unmatched_callers == "allow"
