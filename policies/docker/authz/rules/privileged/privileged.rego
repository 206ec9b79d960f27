# METADATA
# title: Privileged mode
# description: |
#   A privileged container has every capability and every device of the host, so its root is root on
#   the host.
package docker.authz.rules.privileged

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A container must not be privileged
# description: Privileged mode removes seccomp, AppArmor, masked paths and device rules together.
# custom:
#   id: privileged.container
#   settings: [privileged.allow]
#   remedy: Run it without --privileged; add the one capability or device that it needs.
#   change: {set: privileged.allow, to: true}
#   danger: a privileged container has full control of the host
#   controls: [pod-security Privileged containers, cis 5.5, owasp Container breakout, "owasp #3",
#     nist 4.4.3, portainer Privileged]
denials contains denial.of(
	"privileged.container", "HostConfig.Privileged", true,
	"privileged containers are not allowed",
	"run it without --privileged",
) if {
	input.operation.id == "container.create"
	not _container_unprivileged
	not _allowed
}

# METADATA
# title: An exec must not be privileged
# description: A privileged exec has every capability, even in a container that has few.
# custom:
#   id: privileged.exec
#   settings: [privileged.allow]
#   remedy: Run it without --privileged.
#   change: {set: privileged.allow, to: true}
#   danger: "also allows privileged containers, which have full control of the host"
#   controls: [pod-security Privileged containers, cis 5.23, owasp Container breakout, nist 4.4.3,
#     portainer Privileged]
denials contains denial.of(
	"privileged.exec", "Privileged", true,
	"privileged execs are not allowed",
	"run it without --privileged",
) if {
	input.operation.id == "exec.create"
	not _exec_unprivileged
	not _allowed
}

_allowed if effective.config.privileged.allow == true

_container_unprivileged if input.body.HostConfig.Privileged == false

_exec_unprivileged if input.body.Privileged == false
