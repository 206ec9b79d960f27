# METADATA
# title: Mounts
# description: |
#   A bind mount of /, /etc or the Docker socket gives root on the host. The input document holds
#   each path in clean form and with its symbolic links resolved, in whatever form the request
#   names it.
package docker.authz.rules.mounts

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.path

# METADATA
# title: A bind mount must lie below an allowed path
# description: |
#   Compares the path as it is written and, if `mounts.follow_symlinks` is true, also the path to
#   which its symbolic links lead. If the links cannot be resolved, the mount is denied.
# custom:
#   id: mounts.source
#   settings: [mounts.allow, mounts.follow_symlinks]
#   remedy: Mount a folder below a root that the denial lists, or use a named volume.
#   change: {function: host_path}
#   danger:
#     function: host_path
#     values:
#       /bin: the host's programs
#       /boot: the host's kernel
#       /dev: the host's devices
#       /etc: the host's settings and passwords
#       /lib: the host's programs
#       /lib32: the host's programs
#       /lib64: the host's programs
#       /libx32: the host's programs
#       /proc: the host's processes and kernel
#       /root: the home directory of the host's root
#       /run: sockets and state of the host's services
#       /sbin: the host's programs
#       /sys: the host's kernel and devices
#       /usr: the host's programs
#       /var/lib/containerd: all containers and images of the host
#       /var/lib/docker: all containers, images and volumes of the host
#       /var/lib/kubelet: all pods of the host, and their secrets
#       /var/log: the host's logs
#       /var/run: sockets and state of the host's services
#       /var/spool: the host's scheduled jobs and mail
#   baseline: {mounts.allow: [], mounts.follow_symlinks: configured}
#   records: [mounts]
#   controls: [pod-security HostPath volumes, pod-security Volume types, cis 5.6,
#     owasp Container breakout, nist 4.4.3, nist 4.5.5, portainer Bind mounts]
denials contains denial.of(
	"mounts.source", _field(mount), shown,
	sprintf("bind mount of %s is not allowed", [_told(mount)]),
	denial.allowed(_roots),
) if {
	some i in _new
	mount := input.mounts[i]
	not _without_host_path(mount)
	not _below_allowed_root(mount)
	shown := _shown(mount)
}

# METADATA
# title: A mount that is allowed read-only must be read-only
# description: |
#   Applies to roots with `read_only`. File systems that are mounted below the path on the host can
#   stay writable in the container unless the request makes dockerd refuse that.
# custom:
#   id: mounts.read-only
#   settings: [mounts.allow]
#   remedy: |
#     Mount it read-only, with :ro or readonly. Where something is mounted below it on the host:
#     --mount type=bind,readonly,bind-propagation=rprivate,bind-recursive=readonly, or leave that
#     out with bind-recursive=disabled.
#   change: {function: host_path}
#   danger: {function: host_path}
#   records: [mounts]
denials contains denial.of(
	"mounts.read-only", _field(mount), shown,
	sprintf("bind mount of %s is allowed read-only, with all that is mounted below it", [_told(mount)]),
	_read_only_hint(mount),
) if {
	_new != []
	_some_read_only
	some i in _new
	mount := input.mounts[i]
	_below_allowed_root(mount)
	not _access_allowed(mount)
	shown := _shown(mount)
}

# METADATA
# title: A mounted path must still lead to an allowed place when dockerd resolves it again
# description: |
#   dockerd resolves the links of a path again whenever a container starts and whenever files are
#   copied to or from it. Applies to the mounts of such a container and to the path that a named
#   volume binds. In each configuration (the one outside of roles and that of each role) that has
#   a root of `mounts.allow` above the path, the path must still lead below such a root, and not
#   to a path of `mounts.deny`. A caller's restart therefore cannot complete an attack that
#   another caller prepared.
# custom:
#   id: mounts.moved
#   settings: [mounts.allow, mounts.follow_symlinks, mounts.deny]
#   remedy: |
#     Restore the folder that was replaced by a link, or create the container again. If the denial
#     says that dockerd's state is not known, set data_root to dockerd's own.
#   records: [mounts]
denials contains denial.of(
	"mounts.moved", _field(mount), shown,
	sprintf(_moved_message(mount), [_told(mount)]),
	_moved_hint(mount),
) if {
	some mount in input.mounts
	_existing(mount)
	not _still_allowed(mount)
	shown := _shown(mount)
}

# METADATA
# title: A folder of a writable root must not be mounted if it could be replaced without a request
# description: |
#   Whoever can write to a root can replace a folder in it by a link. When dockerd restarts a
#   container by itself, it follows the link, and there is no request to judge. The root itself
#   cannot be replaced, and engines from 26 look up a volume's subpath without leaving the volume.
# custom:
#   id: mounts.subfolders
#   settings: [mounts.subfolders, mounts.allow]
#   remedy: |
#     Mount the root itself, or a volume on it with a subpath: docker volume create -d local -o
#     type=none -o o=bind -o device=ROOT NAME, then --mount
#     type=volume,src=NAME,dst=PATH,volume-subpath=FOLDER. With mounts.subfolders no-restart it is
#     enough to leave --restart out.
#   change: {set: mounts.subfolders, to: allow}
#   danger: whoever can write to a root can make a mount lead to another path
#   baseline: {mounts.subfolders: configured}
#   records: [mounts, restart]
denials contains denial.of(
	"mounts.subfolders", _field(mount), shown,
	sprintf("%s lies in a writable root and could be replaced by a link", [_told(mount)]),
	_subfolders_hint,
) if {
	_any_mount
	not _subfolders_allowed
	some mount in input.mounts
	_in_writable_root(mount)
	shown := _shown(mount)
}

# METADATA
# title: A protected path must not be mounted
# description: |
#   Applies to the Docker socket under each of its names and to the paths that `mounts.deny` adds:
#   the path itself, every directory above it and everything below it.
# custom:
#   id: mounts.protected
#   settings: [mounts.deny]
#   remedy: Mount a folder that contains none of the protected paths.
#   change: {function: protected_path}
#   danger: "no longer protects {entries}: root on the host"
#   baseline: {mounts.deny: union}
#   records: [mounts]
#   controls: [pod-security HostPath volumes, cis 5.6, cis 5.32, owasp Container breakout,
#     "owasp #1", nist 4.4.3, nist 4.5.5, portainer Bind mounts]
denials contains denial.with_detail(
	denial.of(
		"mounts.protected", _field(mount), shown,
		sprintf("bind mount of %s reaches %s", [_told(mount), _told_names(reached)]),
		"these paths are protected (mounts.deny)",
	),
	sprintf("%s reaches %s", [shown, _names(reached)]),
) if {
	some mount in input.mounts
	not _in_container(mount)
	reached := _reached(mount)
	count(reached) > 0
	shown := _shown(mount)
}

# METADATA
# title: A mount must be of an allowed type
# description: The types are bind, volume, tmpfs, image, npipe and cluster.
# custom:
#   id: mounts.type
#   settings: [mounts.types]
#   remedy: Use a type of mount that the denial lists.
#   change: {add: mounts.types}
#   danger:
#     harmless: [bind, image, tmpfs, volume]
#     otherwise: no rule judges what such a mount reaches
#   records: [mounts]
#   controls: [pod-security Volume types]
denials contains denial.of(
	"mounts.type", _field(mount), object.get(mount, "type", null),
	sprintf("mounts of type %s are not allowed", [object.get(mount, "type", "unknown")]),
	denial.allowed(effective.list(["mounts", "types"])),
) if {
	some i in _new
	mount := input.mounts[i]
	not _allowed_type(mount)
}

# METADATA
# title: A mount must not propagate to the host
# description: With shared propagation, a mount that is made in the container appears on the host.
# custom:
#   id: mounts.propagation
#   settings: [mounts.propagation]
#   remedy: Leave the propagation out.
#   change: {add: mounts.propagation}
#   danger: what is mounted in the container is mounted on the host
#   records: [mounts]
#   controls: [cis 5.20, owasp Container breakout]
denials contains denial.of(
	"mounts.propagation", _field(mount), object.get(mount, "propagation", null),
	sprintf("mount propagation %s is not allowed", [object.get(mount, "propagation", "unknown")]),
	denial.allowed(effective.list(["mounts", "propagation"])),
) if {
	some i in _new
	mount := input.mounts[i]
	not _allowed_propagation(mount)
}

# METADATA
# title: Volumes must not be taken from another container
# description: VolumesFrom adds every mount of the other container, host paths included.
# custom:
#   id: mounts.volumes-from
#   settings: [mounts.volumes_from]
#   remedy: Mount the volumes that you need by their names.
#   change: {set: mounts.volumes_from, to: true}
#   danger: gives access to every mount of any container, host paths included
#   controls: [pod-security HostPath volumes, owasp Container breakout]
denials contains denial.of(
	"mounts.volumes-from", "HostConfig.VolumesFrom", null,
	"taking volumes from another container is not allowed",
	"mount the volumes by name",
) if {
	input.operation.id == "container.create"
	not _no_volumes_from
	not _volumes_from_allowed
}

# METADATA
# title: Mounts must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: mounts.unreadable
denials contains denial.of(
	"mounts.unreadable", "mounts", null,
	"the request's mounts cannot be read", "",
) if {
	not _listed
}

_listed if {
	is_array(input.mounts)
	every config in _configurations { _has_roots(config) }
}

# The configuration outside of roles and that of each role: a caller may start a container whose
# mounts another caller can write to. A list, because a set would compare whole configurations.
_configurations := array.concat(
	[data.docker.authz.config],
	[config | some config in data.docker.authz.config.roles],
)

_has_roots(config) if {
	is_array(config.mounts.allow)
	is_array(config.mounts.deny_inside)
	is_boolean(config.mounts.follow_symlinks)
}

_any_mount if some _ in input.mounts

# The positions of the mounts that the request itself makes.
_new := [i | some i, mount in input.mounts; not _existing(mount)]

_existing(mount) if _in_container(mount)

_existing(mount) if mount.origin == "volume"

_in_container(mount) if mount.origin == "container"

# The roots of the configurations that follow links. The others do not restrict resolved paths.
_roots_followed := [root |
	some config in _configurations
	not _lexical(config)
	some root in config.mounts.allow
]

_roots_writable := [root | some root in _roots_followed; not _read_only(root)]

_lexical(config) if config.mounts.follow_symlinks == false

_read_only(root) if root.read_only == true

default _moved_message(_) := "what is mounted there is not known: %s"

_moved_message(mount) := "%s is mounted there and leads elsewhere now" if {
	is_string(mount.resolved)
} else := "where %s leads, which is mounted there, is not known" if {
	is_string(mount.path)
}

default _moved_hint(_) := "set data_root to dockerd's own"

_moved_hint(mount) := "put back what was replaced by a link (mounts.allow)" if is_string(mount.path)

_still_allowed(_) if count(_roots_followed) == 0

_still_allowed(mount) if {
	is_null(mount.path)
	_without_host_path(mount)
}

_still_allowed(mount) if {
	is_string(mount.path)
	not _leads_to_protected(mount)
	every config in _configurations { _still_allows(config, mount) }
}

# Each configuration that has a root above the path must still allow the path to which it leads. If
# the wider root of another role were enough, a link could lead into another caller's folder.
_still_allows(config, _) if _lexical(config)

_still_allows(config, mount) if not _has_root_above(config, mount)

_still_allows(config, mount) if {
	some root in config.mounts.allow
	path.below(mount.path, root.path, root.inside)
	path.below(mount.resolved, root.resolved, root.resolved_inside)
}

_has_root_above(config, mount) if {
	some root in config.mounts.allow
	path.below(mount.path, root.path, root.inside)
}

# Whether links lead below a root to a protected path that the mount does not name.
_leads_to_protected(mount) if {
	some config in _configurations
	_has_root_above(config, mount)
	led_to := path.related(mount.resolved, config.mounts.deny_inside)
	count(led_to - path.related(mount.path, config.mounts.deny_inside)) > 0
}

_subfolders_allowed if effective.config.mounts.subfolders == "allow"

_subfolders_allowed if {
	effective.config.mounts.subfolders == "no-restart"
	not _restarts_by_itself
}

_in_writable_root(mount) if {
	some mounted in [object.get(mount, "path", null), object.get(mount, "resolved", null)]
	some place in _writable_places
	path.below(mounted, place.path, place.inside)
	mounted != place.path
}

# The writable roots, and where their links lead.
_writable_places := [place |
	some root in _roots_writable
	some place in [
		{"path": object.get(root, "path", ""), "inside": object.get(root, "inside", "/")},
		{"path": object.get(root, "resolved", ""), "inside": object.get(root, "resolved_inside", "/")},
	]
]

_restarts_by_itself if {
	_sets_restarts
	not _never_restarts
}

# A swarm starts a service's tasks again, on any of its nodes, whatever their restart condition is.
_restarts_by_itself if input.operation.id in {"service.create", "service.update"}

_sets_restarts if input.operation.id in {"container.create", "container.update"}

_never_restarts if input.restart.policy in {"", "no"}

_subfolders_hint := concat("", ["mount the root itself, or a volume on it with a subpath: ", denial.allowed(_roots)])

_volumes_from_allowed if effective.config.mounts.volumes_from == true

_no_volumes_from if input.body.HostConfig.VolumesFrom == []

# Mounts that name no host path. A volume whose driver options name one is judged by `volumes`.
_without_host_path(mount) if mount.type in {"volume", "tmpfs", "image", "npipe", "cluster"}

_below_allowed_root(mount) if {
	some root in effective.config.mounts.allow
	path.below(mount.path, root.path, root.inside)
	_leads_below(mount, root)
}

# Whether a root that allows a mount may not allow it to be writable.
_some_read_only if {
	some root in effective.config.mounts.allow
	not _writable(root)
}

_writable(root) if root.read_only == false

_leads_below(_, _) if effective.config.mounts.follow_symlinks == false

_leads_below(mount, root) if path.below(mount.resolved, root.resolved, root.resolved_inside)

_access_allowed(mount) if {
	mount.read_only == true
	_no_writable_submounts(mount)
}

_access_allowed(mount) if {
	some root in effective.config.mounts.allow
	_writable(root)
	path.below(mount.path, root.path, root.inside)
	_leads_below(mount, root)
}

_no_writable_submounts(mount) if mount.submounts in {"none", "read-only"}

_no_writable_submounts(_) if effective.config.mounts.follow_symlinks == false

default _read_only_hint(_) := "add :ro"

_read_only_hint(mount) := "add bind-recursive=readonly or bind-recursive=disabled to --mount" if mount.read_only == true

_allowed_type(mount) if mount.type in effective.config.mounts.types

_allowed_propagation(mount) if mount.propagation == ""

_allowed_propagation(mount) if mount.propagation in effective.config.mounts.propagation

_reached(mount) := {place |
	some mounted in {object.get(mount, "path", null), object.get(mount, "resolved", null)}
	some place in path.related(mounted, effective.config.mounts.deny_inside)
}

_names(places) := concat(", ", sort({path.name(place) | some place in places}))

# Denials do not tell clients where the guard's own files are.
_told_names(places) := _names(told) if {
	told := {place | some place in places; not _guarded(place)}
	count(told) > 0
} else := "protected paths"

_guarded(place) if {
	some guarded in effective.list(["guard", "places"])
	_begins(place, guarded)
}

_begins(place, guarded) if startswith(place, guarded)

_begins(place, guarded) if startswith(guarded, place)

_roots := [_root(root) | some root in effective.list(["mounts", "allow"])]

_root(root) := concat("", [root.path, " (read-only)"]) if root.read_only

_root(root) := root.path if not root.read_only

_field(mount) := object.get(mount, "field", "mounts")

default _shown(_) := "an unknown path"

_shown(mount) := sprintf("%s (a link to %s)", [mount.path, mount.resolved]) if {
	mount.resolved != mount.path
	is_string(mount.resolved)
} else := mount.path if {
	is_string(mount.path)
} else := mount.source

# What a link of the host leads to is not told either where that is the guard's own.
_told(mount) := sprintf("%s (a link)", [mount.path]) if {
	mount.resolved != mount.path
	is_string(mount.resolved)
	_guarded(concat("", [trim_suffix(mount.resolved, "/"), "/"]))
} else := _shown(mount)
