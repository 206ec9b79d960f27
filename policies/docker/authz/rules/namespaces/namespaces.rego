# METADATA
# title: Namespaces of the host and of other containers
# description: |
#   A container in a namespace of the host sees the host's processes, network or memory; in
#   another container's, that container's.
package docker.authz.rules.namespaces

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A container must not join the host's namespaces
# description: |
#   Host network reaches services on localhost and abstract sockets, host PID every process and
#   its root directory, host user namespace undoes userns-remap.
# custom:
#   id: namespaces.host
#   settings: [namespaces.allow]
#   remedy: Leave --network, --pid, --ipc, --uts, --userns and --cgroupns without host.
denials contains denial.of(
	"namespaces.host", object.get(namespace, "field", ""), "host",
	sprintf("the host's %s namespace is not allowed", [object.get(namespace, "type", "unknown")]),
	_hint,
) if {
	some namespace in input.namespaces
	object.get(namespace, "mode", "host") == "host"
	not _allowed(namespace)
}

# METADATA
# title: A container must not join another container's namespaces
# description: Joining gives the joined container's network, processes or memory.
# custom:
#   id: namespaces.container
#   settings: [namespaces.allow]
#   remedy: Put both containers in a network, or mount what they share.
denials contains denial.of(
	"namespaces.container", object.get(namespace, "field", ""), object.get(namespace, "container", null),
	sprintf("another container's %s namespace is not allowed", [object.get(namespace, "type", "unknown")]),
	_hint,
) if {
	some namespace in input.namespaces
	object.get(namespace, "mode", "") == "container"
	not _allowed(namespace)
}

# METADATA
# title: A namespace mode must be a known one
# description: A mode that no engine has today may mean anything tomorrow.
# custom:
#   id: namespaces.unknown
#   settings: [namespaces.allow]
#   remedy: Use private, host or container:NAME, as far as they are allowed.
denials contains denial.of(
	"namespaces.unknown", object.get(namespace, "field", ""), object.get(namespace, "mode", null),
	sprintf("this %s namespace mode is not known", [object.get(namespace, "type", "unknown")]),
	_hint,
) if {
	some namespace in input.namespaces
	not object.get(namespace, "mode", "host") in {"host", "container", "named"}
	not _allowed(namespace)
}

_allowed(namespace) if namespace.type in effective.config.namespaces.allow

_allowed(namespace) if {
	sprintf("%s:%s", [namespace.type, namespace.mode]) in effective.config.namespaces.allow
}

_hint := denial.allowed(effective.list(["namespaces", "allow"]))
