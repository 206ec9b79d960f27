package docker.authz.rules.build

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A build must be fetched from an allowed URL
# description: |
#   dockerd itself sends the request, so it reaches addresses that only the host can reach.
# custom:
#   id: build.remote
#   settings: [build.remotes]
#   remedy: Fetch the sources yourself and build from a folder.
#   change: {add: build.remotes}
#   danger: dockerd fetches it, also from addresses that only the host can reach
#   records: [query.remote]
#   controls: [docker Builds]
denials contains denial.of(
	"build.remote", "query.remote", remote,
	sprintf("building from %v is not allowed", [remote]),
	denial.allowed(effective.list(["build", "remotes"])),
) if {
	input.operation.id == "image.build"
	some remote in object.get(input, ["request", "query", "remote"], [""])
	not _sent_by_client(remote)
	not _fetchable(remote)
}

# METADATA
# title: A build must use an allowed parent cgroup
# description: Another parent cgroup has other limits.
# custom:
#   id: build.cgroup-parent
#   settings: [build.cgroup_parents]
#   remedy: Build without --cgroup-parent.
#   change: {add: build.cgroup_parents}
#   danger: has other limits than those for builds
#   records: [query.cgroupparent]
#   controls: [docker Builds]
denials contains denial.of(
	"build.cgroup-parent", "query.cgroupparent", parent,
	sprintf("parent cgroup %v is not allowed", [denial.named(parent, "dockerd's default")]),
	denial.allowed_names(effective.list(["build", "cgroup_parents"]), "dockerd's default"),
) if {
	input.operation.id == "image.build"
	some parent in object.get(input, ["request", "query", "cgroupparent"], [""])
	not _parent_allowed(parent)
}

# METADATA
# title: Choosing the outputs of a build needs permission
# description: An exporter can push the image to a registry or send it elsewhere.
# custom:
#   id: build.output
#   settings: [build.outputs]
#   remedy: Build without --output, and push or save the image in a step of its own.
#   change: {set: build.outputs, to: true}
#   danger: a build can send its result to any destination
#   controls: [docker Builds]
denials contains denial.of(
	"build.output", "query.outputs", null,
	"choosing a build's outputs is not allowed", "build.outputs is false",
) if {
	input.operation.id == "image.build"
	not _outputs_allowed
	some outputs in object.get(input, ["request", "query", "outputs"], [""])
	not outputs in {"", "[]", "null"}
}

_sent_by_client(remote) if remote in {"", "client-session", "upload-request"}

_parent_allowed(parent) if pattern.fits(effective.config.build.cgroup_parents, parent)

_fetchable(remote) if pattern.fits(effective.config.build.remotes, remote)

_outputs_allowed if effective.config.build.outputs == true
