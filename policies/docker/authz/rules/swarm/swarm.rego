# METADATA
# title: Swarm mode
# description: |
#   Requests that can give others control of the host or of its swarm. The containers of services
#   are judged by the same rules as other containers.
package docker.authz.rules.swarm

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A swarm must be an allowed one to be joined
# description: A manager of the swarm can run any service on this host.
# custom:
#   id: swarm.join
#   settings: [swarm.join]
#   remedy: Join by an address that the denial lists.
#   change: {add: swarm.join}
#   danger: can give others control of this host or its swarm
#   records: ["body.RemoteAddrs[]"]
#   controls: [docker Swarm]
denials contains denial.of(
	"swarm.join", "RemoteAddrs", address,
	sprintf("joining the swarm of %v is not allowed", [address]),
	denial.allowed(effective.list(["swarm", "join"])),
) if {
	input.operation.id == "swarm.join"
	some address in object.get(input, ["body", "RemoteAddrs"], ["unknown"])
	not _joinable(address)
}

# METADATA
# title: A swarm's certificate authority needs permission
# description: Whoever has the authority's key can act as any node of the swarm.
# custom:
#   id: swarm.ca
#   settings: [swarm.external_cas]
#   remedy: Leave --external-ca, --ca-cert and --ca-key out; the swarm creates its own authority.
#   change: {set: swarm.external_cas, to: true}
#   danger: can give others control of this host or its swarm
#   controls: [docker Swarm]
denials contains denial.of(
	"swarm.ca", "CAConfig", null,
	"giving a swarm a certificate authority is not allowed", "swarm.external_cas is false",
) if {
	input.operation.access == "write"
	input.operation.id in {"swarm.init", "swarm.update"}
	not _cas_allowed
	not _own_ca
}

# METADATA
# title: Making a node a manager needs permission
# description: A manager can run any service on every node.
# custom:
#   id: swarm.manager
#   settings: [swarm.managers]
#   remedy: Keep the node a worker.
#   change: {set: swarm.managers, to: true}
#   danger: can give others control of this host or its swarm
#   records: [body.Role]
#   controls: [docker Swarm]
denials contains denial.of(
	"swarm.manager", "Role", object.get(input, ["body", "Role"], null),
	"making a node a manager is not allowed", "swarm.managers is false",
) if {
	input.operation.id == "node.update"
	not _managers_allowed
	not _worker
}

# METADATA
# title: A task's runtime must be an allowed one
# description: The runtime plugin installs a plugin with the privileges that the request names.
# custom:
#   id: swarm.runtime
#   settings: [swarm.runtimes]
#   remedy: Create a service of containers.
#   change: {add: swarm.runtimes}
#   danger: the task is not a container
#   records: [body.TaskTemplate.Runtime]
#   controls: [docker Swarm]
denials contains denial.of(
	"swarm.runtime", "TaskTemplate.Runtime", object.get(input, ["body", "TaskTemplate", "Runtime"], null),
	"this task runtime is not allowed",
	denial.allowed_names(effective.list(["swarm", "runtimes"]), "container"),
) if {
	input.operation.access == "write"
	input.operation.id in {"service.create", "service.update"}
	not _runtime_allowed
}

# METADATA
# title: Rolling back a service needs permission
# description: |
#   On a rollback, dockerd uses the previous specification and not the body, so no rule can check
#   it. The same happens if a failed update rolls the service back automatically.
# custom:
#   id: swarm.rollback
#   settings: [swarm.rollback]
#   remedy: |
#     Update the service with the whole previous specification, and leave --update-failure-action at
#     pause.
#   change: {set: swarm.rollback, to: true}
#   danger: restores a specification that no rule can check
#   records: [body.UpdateConfig.FailureAction, query.rollback]
#   controls: [docker Swarm]
denials contains denial.of(
	"swarm.rollback", field, value,
	"setting a service back is not allowed", "update it to what it was; pause when an update fails",
) if {
	input.operation.access == "write"
	not _rollback_allowed
	some [field, value] in _rollbacks
}

# METADATA
# title: Drivers and templates of secrets and configs need permission
# description: A driver is a plugin; a template reads data of the node and of the service.
# custom:
#   id: swarm.driver
#   settings: [swarm.drivers]
#   remedy: Leave --driver and --template-driver out.
#   change: {set: swarm.drivers, to: true}
#   danger: a driver is a plugin, and a template reads data of the node
#   controls: [docker Swarm]
denials contains denial.of(
	"swarm.driver", field, null,
	sprintf("%s is not allowed", [field]), "swarm.drivers is false",
) if {
	input.operation.access == "write"
	not _drivers_allowed
	some field in _drivers
}

_joinable(address) if pattern.fits(effective.config.swarm.join, address)

_cas_allowed if effective.config.swarm.external_cas == true

_own_ca if {
	ca := _spec.CAConfig
	ca.ExternalCAs == []
	ca.SigningCACert == ""
	ca.SigningCAKey == ""
}

_spec := input.body.Spec if input.operation.id == "swarm.init"

_spec := input.body if input.operation.id == "swarm.update"

_managers_allowed if effective.config.swarm.managers == true

_worker if input.body.Role == "worker"

_runtime_allowed if {
	template := input.body.TaskTemplate
	pattern.fits(effective.config.swarm.runtimes, template.Runtime)
	template.Runtime in {"", "container"}
	is_null(template.PluginSpec)
	is_null(template.NetworkAttachmentSpec)
}

_runtime_allowed if {
	runtime := input.body.TaskTemplate.Runtime
	pattern.fits(effective.config.swarm.runtimes, runtime)
	not runtime in {"", "container"}
}

_rollbacks contains ["query.rollback", value] if {
	input.operation.id == "service.update"
	some value in object.get(input, ["request", "query", "rollback"], [""])
	not value in {"", "none"}
}

_rollbacks contains ["UpdateConfig.FailureAction", "rollback"] if {
	input.operation.id in {"service.create", "service.update"}
	not _no_automatic_rollback
}

_no_automatic_rollback if is_null(input.body.UpdateConfig)

_no_automatic_rollback if input.body.UpdateConfig.FailureAction in {"", "pause", "continue"}

_rollback_allowed if effective.config.swarm.rollback == true

_drivers_allowed if effective.config.swarm.drivers == true

_drivers contains "Templating" if {
	input.operation.id in {"config.create", "config.update", "secret.create", "secret.update"}
	not is_null(object.get(input, ["body", "Templating"], "lost"))
}

_drivers contains "Driver" if {
	input.operation.id in {"secret.create", "secret.update"}
	not is_null(object.get(input, ["body", "Driver"], "lost"))
}
