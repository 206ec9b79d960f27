# METADATA
# title: Registries
# description: |
#   Hosts that dockerd connects to because a request says so, with the client's credentials. Where
#   a log-in goes is never shown, so `sections.auth` decides on log-ins as a whole.
package docker.authz.rules.registries

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A registry must be an allowed one
# description: For pull, push, search, look-up, plugins and the images that a build takes steps from.
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
