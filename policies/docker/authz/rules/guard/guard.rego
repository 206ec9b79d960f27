# METADATA
# title: The guard guards itself
# description: |
#   Whoever can write dockerd's settings, the policies or a plugin's socket can switch every other
#   rule off.
package docker.authz.rules.guard

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.path

# METADATA
# title: What guards must not be mounted
# description: |
#   dockerd's settings and plugin sockets, this plugin's settings, policies and program, and OPA's
#   socket: neither they, nor a directory above them, nor anything below. A path that
#   `guard.unprotected_paths` names may be mounted where `mounts` allows it.
# custom:
#   id: guard.mount
#   settings: [guard.unprotected_paths]
#   remedy: Mount a folder that holds none of what the denial names.
#   change: {function: guarded_path}
#   danger: "no longer guards {entries}: who changes it switches off every rule"
#   baseline: {guard.unprotected_paths: []}
#   records: [mounts]
#   controls: [owasp Container breakout, nist 4.5.5, docker The guard]
denials contains denial.of(
	"guard.mount", object.get(mount, "field", "mounts"), object.get(mount, "path", null),
	sprintf("a mount of %v reaches %s", [object.get(mount, "path", "unknown"), concat(", ", sort(reached))]),
	"these guard this host (guard.unprotected_paths)",
) if {
	some mount in input.mounts
	not _in_container(mount)
	not _pathless(mount)
	reached := _reached(mount)
	count(reached) > 0
}

# METADATA
# title: Mounts and guarded paths must be readable
# description: Denies what the rule above could not look at.
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
	is_array(effective.config.guard.paths)
	is_array(effective.config.guard.prefixes)
}

# What a container has already was judged when it was made.
_in_container(mount) if mount.origin == "container"

_pathless(mount) if {
	is_null(mount.path)
	is_null(mount.resolved)
}

_reached(mount) := {guarded |
	some mounted in {object.get(mount, "path", null), object.get(mount, "resolved", null)}
	is_string(mounted)
	some guarded in _guarded(mounted)
}

_guarded(mounted) := _near(mounted) | _like(mounted)

_near(mounted) := {guarded |
	some guarded in effective.config.guard.paths
	path.related(mounted, guarded)
}

_like(mounted) := {prefix | some prefix in effective.config.guard.prefixes; _meets(mounted, prefix)}

_meets(mounted, prefix) if startswith(mounted, prefix)

_meets(mounted, prefix) if path.below(prefix, mounted)
