# METADATA
# title: Protection of the plugin itself
# description: |
#   Whoever can write dockerd's settings, the policies or a plugin's socket can turn off every other
#   rule.
package docker.authz.rules.guard

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.path

# METADATA
# title: Guarded paths must not be mounted
# description: |
#   Applies to dockerd's settings and plugin sockets, to this plugin's settings, policies and
#   program, and to OPA's socket: each path itself, every directory above it and everything below
#   it. A path that `guard.unprotected_paths` names may be mounted where `mounts` allows it.
# custom:
#   id: guard.mount
#   settings: [guard.unprotected_paths]
#   remedy: Mount a folder that contains none of the paths that the operator's log names.
#   change: {function: guarded_path}
#   danger: "no longer guards {entries}: whoever changes it can turn off every rule"
#   baseline: {guard.unprotected_paths: []}
#   records: [mounts]
#   controls: [owasp Container breakout, nist 4.5.5, docker The guard]
denials contains denial.with_detail(
	denial.of(
		"guard.mount", object.get(mount, "field", "mounts"), object.get(mount, "path", null),
		sprintf("a mount of %v reaches files that guard this host", [object.get(mount, "path", "unknown")]),
		"mount a folder that holds none of them (guard.unprotected_paths)",
	),
	sprintf("it reaches %s", [_names(reached)]),
) if {
	some mount in input.mounts
	not _in_container(mount)
	reached := _reached(mount)
	count(reached) > 0
}

# METADATA
# title: Mounts and guarded paths must be readable
# description: Denies what the rule above could not judge.
# custom:
#   id: guard.unreadable
denials contains denial.of(
	"guard.unreadable", "mounts", null,
	"what the request mounts cannot be compared with what is guarded", "",
) if {
	not _readable
}

_readable if {
	is_array(input.mounts)
	is_array(effective.config.guard.places)
}

# The mounts of an existing container were judged when it was created.
_in_container(mount) if mount.origin == "container"

_reached(mount) := {place |
	some mounted in {object.get(mount, "path", null), object.get(mount, "resolved", null)}
	some place in path.related(mounted, effective.config.guard.places)
}

_names(places) := concat(", ", sort({path.name(place) | some place in places}))
