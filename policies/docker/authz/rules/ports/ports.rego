# METADATA
# title: Ports of the host
# description: A port that a container opens on the host is open to everyone who can reach the host.
package docker.authz.rules.ports

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A port must be in an allowed range
# description: A port that dockerd chooses needs another permission, `ports.random`.
# custom:
#   id: ports.range
#   settings: [ports.ranges, ports.random]
#   remedy: Publish a port in a range that the denial lists.
#   change: {function: port}
#   baseline: {ports.ranges: [], ports.random: false}
#   records: [ports]
#   controls: [pod-security Host ports, cis 5.8]
denials contains denial.of(
	"ports.range", object.get(port, "field", "HostConfig.PortBindings"), shown,
	sprintf("host port %s is not allowed", [shown]),
	denial.allowed(_ranges),
) if {
	input.operation.access == "write"
	some port in input.ports
	not _in_range(port)
	shown := _shown(port)
}

# METADATA
# title: A port must be opened on an allowed address
# description: Without an address, dockerd opens the port on every address of the host.
# custom:
#   id: ports.address
#   settings: [ports.addresses]
#   remedy: Publish on an address that the denial lists, as in 127.0.0.1:8080:80.
#   change: {add: ports.addresses}
#   baseline: {ports.addresses: []}
#   records: [ports]
#   controls: [cis 5.14, "owasp #5a"]
denials contains denial.of(
	"ports.address", object.get(port, "field", "HostConfig.PortBindings"),
	object.get(port, "host_ip", null),
	sprintf("host address %v is not allowed", [object.get(port, "host_ip", "unknown")]),
	denial.allowed(effective.list(["ports", "addresses"])),
) if {
	input.operation.access == "write"
	some port in input.ports
	not _on_allowed_address(port)
}

# METADATA
# title: Publishing all ports needs permission
# description: The ports that an image exposes are not part of the request.
# custom:
#   id: ports.publish-all
#   settings: [ports.publish_all]
#   remedy: Publish each port by its number, with -p and not with -P.
#   change: {set: ports.publish_all, to: true}
#   baseline: {ports.publish_all: false}
#   controls: [pod-security Host ports, cis 5.9, "owasp #5a"]
denials contains denial.of(
	"ports.publish-all", "HostConfig.PublishAllPorts", true,
	"publishing all ports is not allowed", "publish each by its number",
) if {
	input.operation.id == "container.create"
	not _not_all
	not _all_allowed
}

_in_range(port) if {
	port.first == 0
	port.last == 0
	effective.config.ports.random == true
}

_in_range(port) if {
	is_number(port.first)
	is_number(port.last)
	port.first <= port.last
	some range in effective.config.ports.ranges
	port.first >= range.first
	port.last <= range.last
}

_on_allowed_address(port) if pattern.fits(effective.config.ports.addresses, port.host_ip)

_not_all if input.body.HostConfig.PublishAllPorts == false

_all_allowed if effective.config.ports.publish_all == true

_shown(port) := _text(object.get(port, "first", null), object.get(port, "last", null))

_text(0, 0) := "of dockerd's choice"

_text(first, last) := sprintf("%v", [first]) if {
	first == last
	first != 0
}

_text(first, last) := sprintf("%v-%v", [first, last]) if first != last

_ranges := [_text(range.first, range.last) | some range in effective.list(["ports", "ranges"])]
