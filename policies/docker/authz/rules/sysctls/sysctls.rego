# METADATA
# title: Kernel parameters
# description: |
#   runc sets the parameters of the container's own namespaces. In a namespace of the host they are
#   the parameters of the host.
package docker.authz.rules.sysctls

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A kernel parameter must be an allowed one
# description: Applies to containers, services and the options of a network driver.
# custom:
#   id: sysctls.name
#   settings: [sysctls.allow]
#   remedy: Leave the --sysctl out, or use one that the denial lists.
#   change: {add: sysctls.allow}
#   records: [sysctls]
#   controls: [pod-security Sysctls, owasp Container breakout, nist 4.4.3, portainer Sysctls]
denials contains denial.of(
	"sysctls.name", object.get(sysctl, "field", "HostConfig.Sysctls"), object.get(sysctl, "name", null),
	sprintf("sysctl %v is not allowed", [denial.named(object.get(sysctl, "name", "unknown"), "empty")]),
	denial.allowed(effective.list(["sysctls", "allow"])),
) if {
	input.operation.access == "write"
	some sysctl in input.sysctls
	not _allowed(sysctl)
}

_allowed(sysctl) if pattern.fits(effective.config.sysctls.allow, sysctl.name)
