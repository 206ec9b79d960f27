# METADATA
# title: Registries
# description: |
#   Hosts that dockerd connects to because a request names them, with the client's credentials.
#   dockerd does not show a plugin the registry of a log-in, so `sections.auth` allows or denies all
#   log-ins.
package docker.authz.rules.registries

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A registry must be an allowed one
# description: |
#   Applies to pull, push, search, look-up, plugins and the images from which a build reuses steps.
# custom:
#   id: registries.host
#   settings: [registries.allow]
#   remedy: Take the image from a registry that the denial lists.
#   change: {add: registries.allow}
#   baseline: {registries.allow: []}
#   records: [images]
#   controls: [docker Images and registries]
denials contains denial.of(
	"registries.host", object.get(image, "field", "path"), object.get(image, "registry", null),
	sprintf("registry %v is not allowed", [object.get(image, "registry", "unknown")]),
	denial.allowed(effective.list(["registries", "allow"])),
) if {
	some image in input.images
	not _local(image)
	not _allowed(image)
}

_local(image) if image.action in {"run", "mount", "name"}

_allowed(image) if pattern.fits(effective.config.registries.allow, image.registry)
