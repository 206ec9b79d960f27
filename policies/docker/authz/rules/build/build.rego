# METADATA
# title: Image builds
# description: |
#   The parameters of a build request. dockerd does not send the Dockerfile to plugins. A hostile
#   client can hide these parameters from every plugin (see docs/explanation/limits.md). Where
#   builds must not use the host's network, hostile clients must therefore not be allowed to build
#   at all.
package docker.authz.rules.build

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A build must use an allowed network
# description: In the host's network a build reaches services on localhost.
# custom:
#   id: build.network
#   settings: [build.networks]
#   remedy: Build without --network, or in one that the denial lists.
#   change: {add: build.networks}
#   danger:
#     values:
#       host: builds reach addresses that only the host can reach
#       container:*: builds run in another container's network
#   records: [query.networkmode]
#   controls: [docker Builds]
denials contains denial.of(
	"build.network", "query.networkmode", mode,
	sprintf("building in network %s is not allowed", [denial.named(mode, "default")]),
	denial.allowed(effective.list(["build", "networks"])),
) if {
	input.operation.id == "image.build"
	some mode in object.get(input, ["request", "query", "networkmode"], ["default"])
	not _allowed(mode)
}

_allowed(mode) if pattern.fits(effective.config.build.networks, mode)

_allowed("") if "default" in effective.config.build.networks
