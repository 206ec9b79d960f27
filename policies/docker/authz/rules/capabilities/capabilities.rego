# METADATA
# title: Linux capabilities
# description: |
#   Added capabilities, in containers and services; names come in upper case and without CAP_.
package docker.authz.rules.capabilities

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: An added capability must be an allowed one
# description: SYS_ADMIN, SYS_PTRACE, SYS_MODULE, DAC_READ_SEARCH and others are ways to the host.
# custom:
#   id: capabilities.add
#   settings: [capabilities.allow]
#   remedy: Leave --cap-add out, or add only what the denial lists.
denials contains denial.of(
	"capabilities.add", object.get(capability, "field", ""), object.get(capability, "name", null),
	sprintf("capability %s is not allowed", [object.get(capability, "name", "unknown")]),
	denial.allowed(effective.list(["capabilities", "allow"])),
) if {
	some capability in input.capabilities
	not _allowed(capability)
}

_allowed(capability) if capability.name in effective.config.capabilities.allow
