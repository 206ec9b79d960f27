package docker.authz.rules.images_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.images

test_denied[name] if {
	some name, [request, changes, rules] in {
		"another image": [_image({}), _some, {"images.source"}],
		"another image by digest beside an allowed tag": [
			_image({"names": ["registry.example/app", "registry.example/app@sha256:00"], "digest": "sha256:00"}),
			_some,
			{"images.source"},
		],
		"a reference that is none": [_image({"name": "", "names": []}), _some, {"images.source"}],
		"an image by id": [
			_image({"may_be_id": true, "reference": "abc", "names": ["docker.io/library/alpine"]}),
			object.union(_some, {"images": {"ids": false}}),
			{"images.source"},
		],
		"an image by id where every name is allowed": [
			_image({"may_be_id": true, "reference": "sha256:00"}),
			{"images": {"ids": false, "allow": ["*"]}},
			{"images.source"},
		],
		"a mount of another image": [_image({"action": "mount"}), _some, {"images.source"}],
		"a mount of an image by id": [
			_image({"action": "mount", "may_be_id": true, "reference": "abc", "names": ["docker.io/library/alpine"]}),
			object.union(_some, {"images": {"ids": false}}),
			{"images.source"},
		],
		"a mount of latest": [
			_image({"action": "mount", "tag": "latest"}),
			{"images": {"latest": false, "digest": "required"}},
			{"images.latest", "images.digest"},
		],
		"a pull of another image": [_image({"action": "pull"}), _some, {"images.source"}],
		"an image of nothing": [
			object.union(examples.container_create_full, {"images": [{}]}),
			_some,
			{"images.source", "images.name", "images.push"},
		],
		"a tag where a digest is required": [_image({}), {"images": {"digest": "required"}}, {"images.digest"}],
		"latest": [_image({"tag": "latest"}), {"images": {"latest": false}}, {"images.latest"}],
		"every tag": [_image({"action": "pull", "tag": ""}), {"images": {"latest": false}}, {"images.latest"}],
		"a name": [examples.image_tag, {"images": {"names": ["registry.example/other"]}}, {"images.name"}],
		"a name by commit": [examples.container_commit, _some, {"images.name"}],
		"a push": [examples.image_push, {"images": {"push": ["registry.example/other"]}}, {"images.push"}],
		"a push where none is allowed": [examples.image_push, {}, {"images.push"}],
		"a URL": [
			object.union(
				examples.image_import,
				{"request": {"query": {"fromSrc": ["http://169.254.169.254/"]}}},
			),
			{},
			{"images.url"},
		],
		"images that are not known": [
			json.remove(examples.container_create_full, ["/images"]),
			{},
			{"images.unreadable"},
		],
		"an image that got lost": [
			object.union(examples.container_create_full, {"images": []}),
			{},
			{"images.unreadable"},
		],
	}
	found := images.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"an allowed image": [examples.container_create_full, _some],
		"an allowed image without tag": [
			_image({"tag": "latest", "names": ["docker.io/library/alpine", "docker.io/library/alpine:latest"]}),
			_some,
		],
		"a mount by id where that is allowed": [_image({"action": "mount", "may_be_id": true}), _some],
		"an image by id where that is allowed": [_image({"may_be_id": true}), _some],
		"a digest": [_image({"digest": "sha256:00"}), {"images": {"digest": "required", "latest": false}}],
		"a version": [_image({}), {"images": {"latest": false}}],
		"an id where names need a version": [
			_image({"may_be_id": true, "tag": "latest"}),
			{"images": {"digest": "required", "latest": false}},
		],
		"an allowed name": [examples.image_tag, _some],
		"an allowed push": [examples.image_push, _some],
		"an archive": [examples.image_import, {}],
		"a URL where that is allowed": [
			object.union(examples.image_import, {"request": {"query": {"fromSrc": ["http://x/"]}}}),
			{"images": {"import_urls": true}},
		],
		"a list": [examples.container_list, _some],
	}
	found := images.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_some := {"images": {
	"allow": ["registry.example/app:*", "docker.io/library/alpine"],
	"names": ["registry.example/*"],
	"push": ["registry.example/app"],
}}

_image(changes) := object.union(
	examples.container_create_full,
	{"images": [object.union(_other, changes)]},
)

_other := {
	"action": "run",
	"field": "Image",
	"reference": "x",
	"registry": "docker.io",
	"repository": "library/x",
	"name": "docker.io/library/x",
	"tag": "1",
	"digest": "",
	"names": ["docker.io/library/x", "docker.io/library/x:1"],
	"may_be_id": false,
}
