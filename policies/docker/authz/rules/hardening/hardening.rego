# METADATA
# title: Hardening
# description: What every new container and service must do without, where the configuration says so.
package docker.authz.rules.hardening

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: The root file system must be read-only
# description: What cannot be changed in a container cannot be made to stay there.
# custom:
#   id: hardening.read-only-root
#   settings: [hardening.read_only_root]
#   remedy: Run it with --read-only, and with a tmpfs or volume where it writes.
#   change: {set: hardening.read_only_root, to: false}
#   danger: your configuration demands it, and would no longer
#   baseline: {hardening.read_only_root: configured}
#   records: [hardening]
#   controls: [cis 5.13, "owasp #8", nist 4.4.4]
denials contains denial.of(
	"hardening.read-only-root", "HostConfig.ReadonlyRootfs", false,
	"the root file system must be read-only", "run it with --read-only",
) if {
	input.operation.access == "write"
	_makes
	not _enough("read_only_root")
}

# METADATA
# title: Privileges must not grow
# description: Without no-new-privileges a set-user-id program in the image makes anybody root.
# custom:
#   id: hardening.no-new-privileges
#   settings: [hardening.no_new_privileges]
#   remedy: Run it with --security-opt no-new-privileges.
#   change: {set: hardening.no_new_privileges, to: false}
#   danger: your configuration demands it, and would no longer
#   baseline: {hardening.no_new_privileges: configured}
#   records: [hardening]
#   controls: [pod-security Privilege escalation, cis 5.26, "owasp #4", nist 4.4.4]
denials contains denial.of(
	"hardening.no-new-privileges", "HostConfig.SecurityOpt", null,
	"no-new-privileges must be set", "run it with --security-opt no-new-privileges",
) if {
	input.operation.access == "write"
	_makes
	not _enough("no_new_privileges")
}

# METADATA
# title: A health check must be given
# description: The image's own is not known to any plugin.
# custom:
#   id: hardening.healthcheck
#   settings: [hardening.healthcheck]
#   remedy: Run it with --health-cmd.
#   change: {set: hardening.healthcheck, to: false}
#   danger: your configuration demands it, and would no longer
#   baseline: {hardening.healthcheck: configured}
#   records: [hardening]
#   controls: [cis 5.27]
denials contains denial.of(
	"hardening.healthcheck", "Healthcheck", null,
	"a health check must be given", "run it with --health-cmd",
) if {
	input.operation.access == "write"
	_makes
	not _enough("healthcheck")
}

# METADATA
# title: Capabilities must be dropped
# description: dockerd gives a container fourteen capabilities that few programs need.
# custom:
#   id: hardening.drop
#   settings: [hardening.drop]
#   remedy: Run it with the --cap-drop that the denial names.
#   change: {function: dropped_capability}
#   danger: your configuration demands it, and would no longer
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

_enough(demand) if input.hardening[demand] == true

_enough(demand) if effective.config.hardening[demand] == false

_dropped if {
	every name in effective.config.hardening.drop { _drops(name) }
}

_drops(name) if name in input.hardening.dropped

_drops(_) if "ALL" in input.hardening.dropped
