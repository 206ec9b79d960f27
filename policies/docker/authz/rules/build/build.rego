# METADATA
# title: Image builds
# description: |
#   What a build request says beside its Dockerfile, which no plugin ever sees. A hostile client
#   can hide these parameters from every plugin (see docs/explanation/limits.md), so a build that may not use
#   the host's network must not be allowed to hostile clients at all.
package docker.authz.rules.build

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A build must use an allowed network
# description: On the host's network a build reaches services on localhost.
# custom:
#   id: build.network
#   settings: [build.networks]
#   remedy: Build without --network, or in one that the denial lists.
#   change: {add: build.networks}
#   danger:
#     values:
#       host: builds reach what only the host itself reaches
#       container:*: builds are in another container's network
#   records: [query.networkmode]
#   controls: [docker Builds]
denials contains denial.of(
	"build.network", "query.networkmode", mode,
	sprintf("building in network %s is not allowed", [mode]),
	denial.allowed(effective.list(["build", "networks"])),
) if {
	input.operation.id == "image.build"
	some mode in object.get(input, ["request", "query", "networkmode"], ["default"])
	not _allowed(mode)
}

_allowed(mode) if mode in effective.config.build.networks

_allowed("") if "default" in effective.config.build.networks
