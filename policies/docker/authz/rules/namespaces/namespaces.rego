# METADATA
# title: Namespaces of the host and of other containers
# description: |
#   A container in a namespace of the host sees the host's processes, network or shared memory. In a
#   namespace of another container, it sees those of that container.
package docker.authz.rules.namespaces

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A container must not join the host's namespaces
# description: |
#   The host's network namespace gives access to services on localhost and to abstract sockets. The
#   PID namespace gives access to every process and its root directory. The user namespace undoes
#   userns-remap.
# custom:
#   id: namespaces.host
#   settings: [namespaces.allow]
#   remedy: Leave --network, --pid, --ipc, --uts, --userns and --cgroupns without host.
#   change: {function: namespace}
#   danger:
#     values:
#       cgroup:host: sees the host's control groups
#       ipc:host: sees the host's shared memory
#       network:host: sees the host's interfaces, and what listens on localhost
#       pid:host: sees the host's processes, and through them their files
#       user:host: "sees the host's users: root in it is root on the host"
#       uts:host: sees the host's host name
#     otherwise: sees what belongs to the host or to other containers
#   records: [namespaces]
#   controls: [pod-security Host namespaces, cis 5.10, cis 5.16, cis 5.17, cis 5.21, cis 5.31,
#     owasp Container breakout, owasp Insecure network, nist 4.4.2, nist 4.4.3, portainer Host PID]
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
# description: Joining gives access to the network, processes or shared memory of that container.
# custom:
#   id: namespaces.container
#   settings: [namespaces.allow]
#   remedy: Connect both containers to one network, or mount a volume that they share.
#   change: {function: namespace}
#   danger:
#     values:
#       cgroup:container: sees other containers' control groups
#       ipc:container: sees other containers' shared memory
#       network:container: sees other containers' interfaces, and what listens on localhost
#       pid:container: sees other containers' processes, and through them their files
#       user:container: "sees other containers' users: root in it is root on the host"
#       uts:container: sees other containers' host name
#     otherwise: sees what belongs to the host or to other containers
#   records: [namespaces]
#   controls: [pod-security Host namespaces, owasp Insecure network, "owasp #5", nist 4.3.3,
#     nist 4.4.2, nist 4.4.3]
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
# title: A service must not join a network by what may be an id
# description: |
#   dockerd also finds a service's network by the beginning of an id, and so also the network of
#   the host. A name that `networks.join` lists in full, or that contains a character that no id
#   has, does not count as an id.
# custom:
#   id: namespaces.service-network
#   settings: [networks.join, namespaces.allow]
#   remedy: |
#     Have the name listed in full in networks.join, or give the network a name with - or _ in it.
#   change: {function: namespace}
#   danger:
#     values:
#       network:*: sees any interfaces, and what listens on localhost
#     otherwise: sees what belongs to the host or to other containers
#   records: [namespaces, endpoints]
#   controls: [pod-security Host namespaces]
denials contains denial.of(
	"namespaces.service-network", object.get(namespace, "field", ""), null,
	"this may be the host's network, by its id", "write the name out in networks.join, or use one with - or _ in it",
) if {
	some namespace in input.namespaces
	object.get(namespace, "mode", "") == "unresolved"
	not _listed(namespace)
	not _allowed(namespace)
}

# METADATA
# title: A namespace mode must be a known one
# description: An engine that is newer than this version may give an unknown mode any meaning.
# custom:
#   id: namespaces.unknown
#   settings: [namespaces.allow]
#   remedy: Use private, host or container:NAME, as far as they are allowed.
#   change: {function: namespace}
#   danger:
#     values:
#       cgroup*: sees any control groups
#       ipc*: sees any shared memory
#       network*: sees any interfaces, and what listens on localhost
#       pid*: sees any processes, and through them their files
#       user*: "sees any users: root in it is root on the host"
#       uts*: sees any host name
#     otherwise: sees what belongs to the host or to other containers
#   records: [namespaces]
#   controls: [pod-security Host namespaces]
denials contains denial.of(
	"namespaces.unknown", object.get(namespace, "field", ""), object.get(namespace, "mode", null),
	sprintf("this %s namespace mode is not known", [object.get(namespace, "type", "unknown")]),
	_hint,
) if {
	some namespace in input.namespaces
	not object.get(namespace, "mode", "host") in {"host", "container", "named", "unresolved"}
	not _allowed(namespace)
}

_allowed(namespace) if namespace.type in effective.config.namespaces.allow

_allowed(namespace) if {
	is_string(namespace.type)
	is_string(namespace.mode)
	concat(":", [namespace.type, namespace.mode]) in effective.config.namespaces.allow
}

_listed(namespace) if {
	some endpoint in input.endpoints
	concat("", [endpoint.field, ".Target"]) == namespace.field
	endpoint.network in effective.config.networks.join
}

_hint := denial.allowed(effective.list(["namespaces", "allow"]))
