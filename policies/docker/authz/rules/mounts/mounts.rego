# METADATA
# title: Mounts
# description: |
#   A bind mount of /, /etc or the Docker socket is root on the host. Paths arrive cleaned and
#   with their symbolic links resolved, whichever way the request names them.
package docker.authz.rules.mounts

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A bind mount must lie below an allowed path
# description: |
#   Lexically, and after symbolic links where `mounts.follow_symlinks` is on. Where the links
#   cannot be resolved, the mount is denied.
# custom:
#   id: mounts.source
#   settings: [mounts.allow, mounts.follow_symlinks]
#   remedy: Mount a folder below a root that the denial lists, or use a named volume.
denials contains denial.of(
	"mounts.source", _field(mount), _shown(mount),
	sprintf("bind mount of %s is not allowed", [_shown(mount)]),
	denial.allowed(_roots),
) if {
	some mount in input.mounts
	not _harmless(mount)
	not _placed(mount)
}

# METADATA
# title: A mount that is allowed read-only must be read-only
# description: Applies to roots with `read_only`.
# custom:
#   id: mounts.read-only
#   settings: [mounts.allow]
#   remedy: Mount it read-only, with :ro or readonly.
denials contains denial.of(
	"mounts.read-only", _field(mount), _shown(mount),
	sprintf("bind mount of %s is allowed read-only", [_shown(mount)]),
	"add :ro",
) if {
	some mount in input.mounts
	_placed(mount)
	not _writable_enough(mount)
}

# METADATA
# title: A protected path must not be mounted
# description: |
#   The Docker socket under each of its names, and whatever `mounts.deny` adds: neither the path
#   itself, nor a directory above it, nor anything below it.
# custom:
#   id: mounts.protected
#   settings: [mounts.deny]
#   remedy: Mount a folder that holds none of what the denial names.
denials contains denial.of(
	"mounts.protected", _field(mount), _shown(mount),
	sprintf("bind mount of %s reaches %s", [_shown(mount), concat(", ", sort(reached))]),
	"these paths are protected (mounts.deny)",
) if {
	some mount in input.mounts
	not _pathless(mount)
	reached := _reached(mount)
	count(reached) > 0
}

# METADATA
# title: A mount must be of an allowed type
# description: bind, volume, tmpfs, image, npipe or cluster.
# custom:
#   id: mounts.type
#   settings: [mounts.types]
#   remedy: Use a type of mount that the denial lists.
denials contains denial.of(
	"mounts.type", _field(mount), object.get(mount, "type", null),
	sprintf("mounts of type %s are not allowed", [object.get(mount, "type", "unknown")]),
	denial.allowed(effective.list(["mounts", "types"])),
) if {
	some mount in input.mounts
	not _allowed_type(mount)
}

# METADATA
# title: A mount must not propagate to the host
# description: With shared propagation a mount made in the container appears on the host.
# custom:
#   id: mounts.propagation
#   settings: [mounts.propagation]
#   remedy: Leave the propagation out.
denials contains denial.of(
	"mounts.propagation", _field(mount), object.get(mount, "propagation", null),
	sprintf("mount propagation %s is not allowed", [object.get(mount, "propagation", "unknown")]),
	denial.allowed(effective.list(["mounts", "propagation"])),
) if {
	some mount in input.mounts
	not _allowed_propagation(mount)
}

# METADATA
# title: Volumes must not be taken from another container
# description: VolumesFrom inherits every mount of the other container, host paths included.
# custom:
#   id: mounts.volumes-from
#   settings: [mounts.volumes_from]
#   remedy: Mount the volumes that you need by their names.
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
# description: Denies what the rules above could not look at.
# custom:
#   id: mounts.unreadable
denials contains denial.of(
	"mounts.unreadable", "mounts", null,
	"the request's mounts cannot be read", "",
) if {
	not _listed
}

_listed if is_array(input.mounts)

_volumes_from_allowed if effective.config.mounts.volumes_from == true

_no_volumes_from if input.body.HostConfig.VolumesFrom == []

# Mounts that name no host path. A volume that does is one of a driver's, judged by `volumes`.
_harmless(mount) if mount.type in {"volume", "tmpfs", "image", "npipe", "cluster"}

_placed(mount) if {
	some root in effective.config.mounts.allow
	_below(mount.path, root.path)
	_leads_below(mount, root)
}

_leads_below(_, _) if effective.config.mounts.follow_symlinks == false

_leads_below(mount, root) if _below(mount.resolved, root.resolved)

_writable_enough(mount) if mount.read_only == true

_writable_enough(mount) if {
	some root in effective.config.mounts.allow
	root.read_only == false
	_below(mount.path, root.path)
	_leads_below(mount, root)
}

_allowed_type(mount) if mount.type in effective.config.mounts.types

_allowed_propagation(mount) if mount.propagation == ""

_allowed_propagation(mount) if mount.propagation in effective.config.mounts.propagation

_pathless(mount) if {
	is_null(mount.path)
	is_null(mount.resolved)
}

_reached(mount) := {protected |
	some path in {object.get(mount, "path", null), object.get(mount, "resolved", null)}
	is_string(path)
	some protected in effective.config.mounts.deny
	_related(path, protected)
}

_related(path, protected) if _below(path, protected)

_related(path, protected) if _below(protected, path)

_below(path, root) if path == root

_below(path, root) if {
	is_string(path)
	is_string(root)
	startswith(path, concat("", [trim_suffix(root, "/"), "/"]))
}

_roots := [_root(root) | some root in effective.list(["mounts", "allow"])]

_root(root) := sprintf("%s (read-only)", [root.path]) if root.read_only

_root(root) := root.path if not root.read_only

_field(mount) := object.get(mount, "field", "mounts")

default _shown(_) := "an unknown path"

_shown(mount) := sprintf("%s (a link to %s)", [mount.path, mount.resolved]) if {
	mount.resolved != mount.path
	is_string(mount.resolved)
} else := mount.path if {
	is_string(mount.path)
} else := mount.source
