# METADATA
# title: File systems in memory
# description: The rules of `resources` judge their sizes as limits.
package docker.authz.rules.tmpfs

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A tmpfs option must be an allowed one
# description: |
#   The options exec, suid and dev undo the restrictive options with which dockerd mounts a tmpfs.
# custom:
#   id: tmpfs.option
#   settings: [tmpfs.options]
#   remedy: Leave the option out, or use one that the denial lists.
#   change: {add: tmpfs.options}
#   danger:
#     values:
#       dev: device files work in it
#       suid: set-user-id programs work in it
#   records: [tmpfs]
#   controls: [docker Resources]
denials contains denial.of(
	"tmpfs.option", object.get(mount, "field", "HostConfig.Tmpfs"), option,
	sprintf("tmpfs option %v is not allowed", [denial.named(option, "empty")]),
	denial.allowed(effective.list(["tmpfs", "options"])),
) if {
	input.operation.access == "write"
	some mount in input.tmpfs
	some option in object.get(mount, "options", ["unknown"])
	not _allowed(option)
}

_allowed(option) if pattern.fits(effective.config.tmpfs.options, option)
