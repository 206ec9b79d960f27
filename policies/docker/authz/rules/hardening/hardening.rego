# METADATA
# title: Hardening
# description: |
#   Restrictions that every new container and service must have if the configuration requires
#   them.
package docker.authz.rules.hardening

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: The root file system must be read-only
# description: A process in the container cannot change programs in a read-only root file system.
# custom:
#   id: hardening.read-only-root
#   settings: [hardening.read_only_root]
#   remedy: Run it with --read-only, and with a tmpfs or volume where it writes.
#   change: {set: hardening.read_only_root, to: false}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {hardening.read_only_root: configured}
#   records: [hardening]
#   controls: [cis 5.13, "owasp #8", nist 4.4.4]
denials contains denial.of(
	"hardening.read-only-root", "HostConfig.ReadonlyRootfs", false,
	"the root file system must be read-only", "run it with --read-only",
) if {
	input.operation.access == "write"
	_makes
	not _fulfilled("read_only_root")
}

# METADATA
# title: Processes must not gain privileges
# description: Without no-new-privileges, a set-user-id program in the image can make any user root.
# custom:
#   id: hardening.no-new-privileges
#   settings: [hardening.no_new_privileges]
#   remedy: Run it with --security-opt no-new-privileges.
#   change: {set: hardening.no_new_privileges, to: false}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {hardening.no_new_privileges: configured}
#   records: [hardening]
#   controls: [pod-security Privilege escalation, cis 5.26, "owasp #4", nist 4.4.4]
denials contains denial.of(
	"hardening.no-new-privileges", "HostConfig.SecurityOpt", null,
	"no-new-privileges must be set", "run it with --security-opt no-new-privileges",
) if {
	input.operation.access == "write"
	_makes
	not _fulfilled("no_new_privileges")
}

# METADATA
# title: A health check must be given
# description: The health check of the image is not part of the request and does not count.
# custom:
#   id: hardening.healthcheck
#   settings: [hardening.healthcheck]
#   remedy: Run it with --health-cmd.
#   change: {set: hardening.healthcheck, to: false}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {hardening.healthcheck: configured}
#   records: [hardening]
#   controls: [cis 5.27]
denials contains denial.of(
	"hardening.healthcheck", "Healthcheck", null,
	"a health check must be given", "run it with --health-cmd",
) if {
	input.operation.access == "write"
	_makes
	not _fulfilled("healthcheck")
}

# METADATA
# title: Capabilities must be dropped
# description: By default, dockerd gives a container fourteen capabilities, which few programs need.
# custom:
#   id: hardening.drop
#   settings: [hardening.drop]
#   remedy: Run it with the --cap-drop that the denial names.
#   change: {function: dropped_capability}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {hardening.drop: configured}
#   records: [hardening]
#   controls: [pod-security Capabilities dropped, "owasp #3"]
denials contains denial.of(
	"hardening.drop", "HostConfig.CapDrop", null,
	"capabilities must be dropped",
	sprintf("run it with --cap-drop %s", [concat(" --cap-drop ", effective.list(["hardening", "drop"]))]),
) if {
	input.operation.access == "write"
	_makes
	not _dropped
}

_makes if input.operation.id == "container.create"

_makes if input.operation.id == "service.create"

_makes if input.operation.id == "service.update"

_fulfilled(demand) if input.hardening[demand] == true

_fulfilled(demand) if effective.config.hardening[demand] == false

_dropped if {
	every name in effective.config.hardening.drop { _drops(name) }
}

_drops(name) if name in input.hardening.dropped

_drops(_) if "ALL" in input.hardening.dropped
