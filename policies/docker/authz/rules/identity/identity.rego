# METADATA
# title: Callers
# description: |
#   Callers are identified by their TLS certificate only. On the unix socket, dockerd does not tell
#   callers apart.
package docker.authz.rules.identity

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A caller must have a role where unmatched callers are denied
# description: |
#   A caller is unmatched if no role matches and, for a caller without a certificate, no default
#   role is set.
# custom:
#   id: identity.unmatched-caller
#   settings: [unmatched_callers, roles, default_role]
#   remedy: Connect with a client certificate that has a role.
#   change: {set: unmatched_callers, to: allow}
#   danger: every caller without a role gets what the configuration outside of roles allows
#   controls: [docker Tenants]
denials contains denial.of(
	"identity.unmatched-caller", "caller.user", object.get(input, ["caller", "user"], ""),
	"this caller has no role",
	"ask with a client certificate that has one (roles)",
) if {
	not _known
}

# METADATA
# title: A certificate must not be revoked
# description: "`opa-authz identity revoke` revokes a certificate, from the next request on."
# custom:
#   id: identity.revoked
#   remedy: Ask the operator of this host for another certificate.
denials contains denial.of(
	"identity.revoked", "caller.certificates", object.get(input, ["caller", "user"], ""),
	"this certificate was revoked",
	"ask the operator of this host for another",
) if {
	not _not_revoked
}

_not_revoked if input.caller.revoked == false

_known if effective.role != ""

_known if effective.unmatched_callers == "allow"
