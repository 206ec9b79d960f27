# METADATA
# title: Volumes
# description: |
#   A named volume remains when its container is removed, and every container can mount it by its
#   name. The options of a volume driver can mount anything.
package docker.authz.rules.volumes

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: Named volumes need permission
# description: |
#   dockerd creates a named volume that does not exist, and shares one that exists. A volume with a
#   name counts as named even if its options bind a path.
# custom:
#   id: volumes.named
#   settings: [volumes.named]
#   remedy: Use an anonymous volume, or a bind mount below an allowed path.
#   change: {set: volumes.named, to: true}
#   baseline: {volumes.named: false}
#   records: [mounts]
denials contains denial.of(
	"volumes.named", object.get(mount, "field", ""), object.get(mount, "volume", null),
	sprintf("named volume %s is not allowed", [object.get(mount, "volume", "unknown")]),
	"volumes.named is false",
) if {
	not _named_allowed
	some mount in input.mounts
	not _existing(mount)
	not _anonymous(mount)
}

# METADATA
# title: A volume driver must be an allowed one
# description: A volume plugin runs on the host and itself decides what it mounts.
# custom:
#   id: volumes.driver
#   settings: [volumes.drivers]
#   remedy: Use a driver that the denial lists.
#   change: {add: volumes.drivers}
#   danger:
#     harmless: ["", local]
#     otherwise: a program on the host decides what is mounted
#   records: [mounts]
#   controls: [pod-security Volume types]
denials contains denial.of(
	"volumes.driver", object.get(mount, "field", ""), object.get(mount, "driver", null),
	sprintf("volume driver %s is not allowed", [object.get(mount, "driver", "unknown")]),
	denial.allowed_names(effective.list(["volumes", "drivers"]), "dockerd's default"),
) if {
	some mount in input.mounts
	not _allowed_driver(mount)
	not _existing(mount)
	not _another_type(mount)
}

# METADATA
# title: Volume driver options must be allowed ones
# description: |
#   The local driver mounts what its options name: a disk, an overlay of host directories, a
#   network share. Options that bind a path are judged as a bind mount.
# custom:
#   id: volumes.options
#   settings: [volumes.types, mounts.allow]
#   remedy: Create the volume without options, or with those that the denial lists.
#   change: {function: volume_type}
#   danger: "dockerd mounts what the options name: a disk, an overlay, a network share"
#   records: [mounts]
#   controls: [pod-security HostPath volumes, pod-security Volume types, portainer Bind mounts]
denials contains denial.of(
	"volumes.options", object.get(mount, "field", ""), null,
	"these volume driver options are not allowed",
	denial.allowed({"size"} | {concat("", ["type=", type]) | some type in effective.config.volumes.types}),
) if {
	some mount in input.mounts
	not _allowed_options(mount)
	not _existing(mount)
	not _another_type(mount)
}

_named_allowed if effective.config.volumes.named == true

# A mount of an existing container or volume was judged when that was created.
_existing(mount) if mount.origin in {"container", "volume"}

_another_type(mount) if mount.type in {"bind", "tmpfs", "image", "npipe", "cluster"}

_anonymous(mount) if mount.volume == ""

_allowed_driver(mount) if mount.driver == ""

_allowed_driver(mount) if pattern.fits(effective.config.volumes.drivers, mount.driver)

_allowed_options(mount) if {
	every name, _ in mount.options { name == "size" }
}

_allowed_options(mount) if {
	mount.options.type in effective.config.volumes.types
	is_null(mount.path)
}
