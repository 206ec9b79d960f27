# METADATA
# title: Images
# description: |
#   Judges images by the reference in the request. Whoever may tag, load, import, commit or build
#   images can give any content a name; only a digest cannot refer to another image.
package docker.authz.rules.images

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: An image that is run, mounted or pulled must be an allowed one
# description: The name alpine stands for docker.io/library/alpine, as in Docker.
# custom:
#   id: images.source
#   settings: [images.allow, images.ids]
#   remedy: Name an image that the denial lists, with its registry and not by its id.
#   change: {function: image}
#   danger:
#     function: image_id
#     otherwise: any image on the host may be run by its id, whatever its name
#   baseline: {images.allow: [], images.ids: false}
#   records: [images]
#   controls: [owasp Poisoned images, "owasp #13", nist 4.1.1, nist 4.1.5, nist 4.4.5,
#     docker Images and registries]
denials contains denial.of(
	"images.source", object.get(image, "field", "Image"), _shown(image),
	sprintf("image %v is not allowed", [_shown(image)]), _hint("allow"),
) if {
	input.operation.access == "write"
	some image in input.images
	not _other_use(image, {"run", "mount", "pull"})
	not _allowed(image, "allow")
	not _id_allowed(image)
}

# METADATA
# title: An image must be named by digest where that is required
# description: A tag can be moved to another image later.
# custom:
#   id: images.digest
#   settings: [images.digest]
#   remedy: Name the image by its digest, as in app@sha256:…; docker pull shows it.
#   change: {set: images.digest, to: any}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {images.digest: configured}
#   records: [images]
#   controls: [cis 5.28]
denials contains denial.of(
	"images.digest", object.get(image, "field", "Image"), _shown(image),
	sprintf("image %v is not named by digest", [_shown(image)]), "add @sha256:…",
) if {
	input.operation.access == "write"
	not _digest_free
	some image in input.images
	not _other_use(image, {"run", "mount", "pull"})
	not _pinned(image)
	not _id_allowed(image)
}

# METADATA
# title: The tag latest needs permission
# description: |
#   A reference without a tag or digest means latest, and latest is whatever image has that tag at
#   the time.
# custom:
#   id: images.latest
#   settings: [images.latest]
#   remedy: Name a version, as in app:1.2.
#   change: {set: images.latest, to: true}
#   baseline: {images.latest: false}
#   records: [images]
#   controls: [cis 5.28, owasp Poisoned images, "owasp #13", nist 4.2.2]
denials contains denial.of(
	"images.latest", object.get(image, "field", "Image"), _shown(image),
	"the tag latest is not allowed", "name a version",
) if {
	input.operation.access == "write"
	not _latest_allowed
	some image in input.images
	not _other_use(image, {"run", "mount", "pull"})
	not _versioned(image)
	not _id_allowed(image)
}

# METADATA
# title: A name must be an allowed one to be given to an image
# description: |
#   Applies to tag, build, commit and import. Whoever gives an image a trusted name makes that image
#   trusted.
# custom:
#   id: images.name
#   settings: [images.names]
#   remedy: Give the image a name that the denial lists.
#   change: {function: image_name, key: images.names}
#   baseline: {images.names: []}
#   records: [images]
#   controls: [docker Images and registries]
denials contains denial.of(
	"images.name", object.get(image, "field", "query.repo"), _shown(image),
	sprintf("giving an image the name %v is not allowed", [_shown(image)]), _hint("names"),
) if {
	input.operation.access == "write"
	some image in input.images
	not _other_use(image, {"name"})
	not _allowed(image, "names")
}

# METADATA
# title: An image must be an allowed one to be pushed
# description: A push sends data out of the host.
# custom:
#   id: images.push
#   settings: [images.push]
#   remedy: Push under a name that the denial lists.
#   change: {function: image_name, key: images.push}
#   baseline: {images.push: []}
#   records: [images]
#   controls: [docker Images and registries]
denials contains denial.of(
	"images.push", object.get(image, "field", "path"), _shown(image),
	sprintf("pushing %v is not allowed", [_shown(image)]), _hint("push"),
) if {
	input.operation.access == "write"
	some image in input.images
	not _other_use(image, {"push"})
	not _allowed(image, "push")
}

# METADATA
# title: Fetching an image from a URL needs permission
# description: |
#   dockerd itself sends the request, so it reaches addresses that only the host can reach.
# custom:
#   id: images.url
#   settings: [images.import_urls]
#   remedy: Fetch the archive yourself and send it with docker import -.
#   change: {set: images.import_urls, to: true}
#   danger: dockerd fetches any URL, also from addresses that only the host can reach
#   baseline: {images.import_urls: false}
#   controls: [docker Images and registries]
denials contains denial.of(
	"images.url", "query.fromSrc", null,
	"fetching an image from a URL is not allowed", "send the archive itself (docker import -)",
) if {
	input.operation.id == "image.import"
	not _urls_allowed
	some source in object.get(input, ["request", "query", "fromSrc"], [""])
	not source in {"-", ""}
}

# METADATA
# title: Images must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: images.unreadable
denials contains denial.of("images.unreadable", "images", null, "the request's images cannot be read", "") if {
	input.operation.access == "write"
	not _readable
}

_readable if {
	is_array(input.images)
	is_object(input.request.query)
	not _image_missing
}

_image_missing if {
	input.operation.id in {"container.create", "image.pull", "image.push"}
	count(input.images) == 0
}

_other_use(image, uses) if {
	image.action != "lost"
	not image.action in uses
}

_allowed(image, key) if {
	not _runs_by_id(image)
	"*" in effective.config.images[key]
}

_allowed(image, key) if {
	not _runs_by_id(image)
	some name in image.names
	pattern.fits(effective.config.images[key], name)
}

# dockerd may read such a reference as an id, which can belong to an image of any name.
_runs_by_id(image) if {
	object.get(image, "action", "run") in {"run", "mount"}
	object.get(image, "may_be_id", true) == true
}

_id_allowed(image) if {
	effective.config.images.ids == true
	image.action in {"run", "mount"}
	image.may_be_id == true
}

_digest_free if effective.config.images.digest == "any"

_pinned(image) if image.digest != ""

_latest_allowed if effective.config.images.latest == true

_versioned(image) if image.digest != ""

_versioned(image) if not image.tag in {"", "latest"}

_urls_allowed if effective.config.images.import_urls == true

_shown(image) := object.get(image, "reference", "unknown")

_hint(key) := denial.allowed(effective.list(["images", key]))
