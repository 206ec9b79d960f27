# METADATA
# title: Further settings of containers
# description: Runtimes, cgroups, groups, restarts, annotations, storage and commands.
package docker.authz.rules.containers

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A runtime must be an allowed one
# description: |
#   A runtime is a program on the host that dockerd runs as root. A name at the top level of the
#   body is judged too: engines before 27 take it if the request has no HostConfig, and the others
#   ignore it.
# custom:
#   id: containers.runtime
#   settings: [containers.runtimes]
#   remedy: Run it without --runtime, or with one that the denial lists.
#   change: {add: containers.runtimes}
#   danger: a program on the host that runs as root
#   records: [body.HostConfig.Runtime, body.Runtime]
#   controls: [owasp Container breakout, nist 4.4.3, docker Runtimes and cgroups]
denials contains denial.of(
	"containers.runtime", field, runtime,
	sprintf("runtime %v is not allowed", [denial.named(runtime, "dockerd's default")]),
	_hint_with_default("runtimes", "dockerd's default"),
) if {
	input.operation.id == "container.create"
	some [field, runtime] in _runtimes
	not _fits("runtimes", runtime)
}

# METADATA
# title: A parent cgroup must be an allowed one
# description: Another parent cgroup has other limits, or contains services of the host.
# custom:
#   id: containers.cgroup-parent
#   settings: [containers.cgroup_parents]
#   remedy: Run it without --cgroup-parent.
#   change: {add: containers.cgroup_parents}
#   danger: has other limits, and holds processes of others
#   records: [body.HostConfig.CgroupParent]
#   controls: [cis 5.25, owasp Denial of service, docker Runtimes and cgroups]
denials contains denial.of(
	"containers.cgroup-parent", "HostConfig.CgroupParent", _host("CgroupParent"),
	sprintf("parent cgroup %v is not allowed", [denial.named(_host("CgroupParent"), "dockerd's default")]),
	_hint_with_default("cgroup_parents", "dockerd's default"),
) if {
	input.operation.id == "container.create"
	not _fits("cgroup_parents", _host("CgroupParent"))
}

# METADATA
# title: A supplementary group must be an allowed one
# description: |
#   A group of the host, such as docker, disk or shadow, gives access to its files where they are
#   mounted.
# custom:
#   id: containers.group
#   settings: [containers.groups]
#   remedy: Run it without --group-add, or make the container's user the owner of what is mounted.
#   change: {add: containers.groups}
#   danger:
#     function: system_group
#     otherwise: may be a group of the host, which gives access to its files where they are mounted
#   records: ["body.HostConfig.GroupAdd[]", "body.TaskTemplate.ContainerSpec.Groups[]"]
#   controls: [docker Runtimes and cgroups]
denials contains denial.of(
	"containers.group", "groups", group,
	sprintf("group %v is not allowed", [denial.named(group, "empty")]),
	_hint("groups"),
) if {
	input.operation.access == "write"
	some group in _groups
	not _fits("groups", group)
}

# METADATA
# title: A restart policy must be an allowed one
# description: |
#   A container that dockerd always restarts keeps running after whoever started it has left. The
#   tasks of a service are always restarted unless the service says otherwise.
# custom:
#   id: containers.restart
#   settings: [containers.restart]
#   remedy: Run it with a --restart that the denial lists.
#   change: {add: containers.restart}
#   records: [restart]
#   controls: [cis 5.15, "owasp #7"]
denials contains denial.of(
	"containers.restart", _restart_field, _restart_policy,
	sprintf("restart policy %v is not allowed", [denial.named(_restart_policy, "no")]),
	_hint_with_default("restart", "no"),
) if {
	input.operation.access == "write"
	_restarts
	not _restart_allowed
}

# METADATA
# title: Restarts on failure must be few enough
# description: |
#   A container that fails at once and is restarted without end uses up the host's resources.
# custom:
#   id: containers.restart-retries
#   settings: [containers.restart_retries]
#   remedy: Give the count, as in --restart on-failure:3, not above the limit.
#   change: {function: restart_retries}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {containers.restart_retries: configured}
#   records: [restart]
#   controls: [cis 5.15, owasp Denial of service, "owasp #7"]
denials contains denial.of(
	"containers.restart-retries", _restart_field, object.get(input, ["restart", "retries"], null),
	"on-failure restarts without or above the limit are not allowed",
	sprintf("at most %v", [effective.list(["containers", "restart_retries"])]),
) if {
	input.operation.access == "write"
	_restarts
	not _few_retries
}

# METADATA
# title: An annotation must be an allowed one
# description: |
#   dockerd passes annotations to the OCI runtime; some change how it isolates the container.
# custom:
#   id: containers.annotation
#   settings: [containers.annotations]
#   remedy: Run it without --annotation, or use labels, which no runtime reads.
#   change: {add: containers.annotations}
#   danger: the runtime reads it; some annotations change how it isolates the container
#   controls: [docker Runtimes and cgroups]
denials contains denial.of(
	"containers.annotation", "HostConfig.Annotations", name,
	sprintf("annotation %v is not allowed", [denial.named(name, "empty")]),
	_hint("annotations"),
) if {
	input.operation.id == "container.create"
	some name in _names("Annotations")
	not _fits("annotations", name)
}

# METADATA
# title: A storage option must be an allowed one
# description: Storage options can raise or remove quotas.
# custom:
#   id: containers.storage-option
#   settings: [containers.storage_options]
#   remedy: Run it without --storage-opt.
#   change: {add: containers.storage_options}
#   controls: [docker Runtimes and cgroups]
denials contains denial.of(
	"containers.storage-option", "HostConfig.StorageOpt", name,
	sprintf("storage option %v is not allowed", [denial.named(name, "empty")]),
	_hint("storage_options"),
) if {
	input.operation.id == "container.create"
	some name in _names("StorageOpt")
	not _fits("storage_options", name)
}

# METADATA
# title: A command must hold no denied word
# description: |
#   Compares the words of commands, entrypoints, health checks and execs as the request gives them.
#   The image's own command, entrypoint and health check are not part of the request.
# custom:
#   id: containers.command
#   settings: [containers.deny_commands]
#   remedy: Start another program. What this one does may belong outside of the container.
#   baseline: {containers.deny_commands: configured}
#   controls: [cis 5.7, nist 4.1.2]
denials contains denial.of(
	"containers.command", field, null,
	"this command is not allowed", "its words are compared with containers.deny_commands",
) if {
	input.operation.access == "write"
	count(effective.list(["containers", "deny_commands"])) > 0
	some field, words in _commands
	some word in words
	pattern.fits(effective.list(["containers", "deny_commands"]), word)
}

# METADATA
# title: Arguments of ps must be allowed ones
# description: |
#   For `container.top`, dockerd runs ps on the host, as root, with the arguments of the request,
#   and looks for the container's processes in the output. Arguments that the client chooses can
#   show the client the processes of the host.
# custom:
#   id: containers.ps-arguments
#   settings: [containers.ps_arguments]
#   remedy: Use docker top without arguments of ps, or with those that the denial lists.
#   change: {add: containers.ps_arguments}
#   danger: arguments of ps can show every process of the host
#   records: [query.ps_args]
denials contains denial.of(
	"containers.ps-arguments", "query.ps_args", arguments,
	sprintf("ps with %v is not allowed", [denial.named(arguments, "no arguments")]),
	_hint_with_default("ps_arguments", "no arguments"),
) if {
	input.operation.id == "container.top"
	some arguments in object.get(input, ["request", "query", "ps_args"], [""])
	not arguments in effective.list(["containers", "ps_arguments"])
}

# METADATA
# title: A container's settings must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: containers.unreadable
denials contains denial.of(
	"containers.unreadable", "HostConfig", null,
	"the container's settings cannot be read", "",
) if {
	input.operation.access == "write"
	not _readable
}

_readable if {
	is_array(effective.config.containers.deny_commands)
	not _fields_missing
}

_fields_missing if {
	input.operation.id == "container.create"
	not _create_complete
}

_fields_missing if {
	input.operation.id == "exec.create"
	not is_array(object.get(input, ["body", "Cmd"], null))
}

_create_complete if {
	is_array(input.body.HostConfig.GroupAdd)
	is_object(input.body.HostConfig.Annotations)
	is_object(input.body.HostConfig.StorageOpt)
	is_array(input.body.Cmd)
	is_array(input.body.Entrypoint)
}

_runtimes contains ["HostConfig.Runtime", _host("Runtime")]

_runtimes contains ["Runtime", runtime] if {
	runtime := object.get(input, ["body", "Runtime"], null)
	runtime != ""
}

_host(name) := object.get(input, ["body", "HostConfig", name], null)

_names(name) := object.keys(object.get(input, ["body", "HostConfig", name], {}))

_fits(key, value) if pattern.fits(effective.config.containers[key], value)

_hint(key) := denial.allowed(effective.list(["containers", key]))

_hint_with_default(key, meaning) := denial.allowed_names(effective.list(["containers", key]), meaning)

_groups := object.get(input, ["body", "HostConfig", "GroupAdd"], []) if {
	input.operation.id == "container.create"
}

_groups := _service("Groups") if input.operation.id in {"service.create", "service.update"}

_commands := {"Cmd": object.get(input, ["body", "Cmd"], [])} if input.operation.id == "exec.create"

_commands := {
	"Cmd": object.get(input, ["body", "Cmd"], []),
	"Entrypoint": object.get(input, ["body", "Entrypoint"], []),
	"Healthcheck.Test": object.get(input, ["body", "Healthcheck", "Test"], []),
	"Shell": object.get(input, ["body", "Shell"], []),
} if {
	input.operation.id == "container.create"
}

_commands := {
	"TaskTemplate.ContainerSpec.Command": _service("Command"),
	"TaskTemplate.ContainerSpec.Args": _service("Args"),
	"TaskTemplate.ContainerSpec.Healthcheck.Test": _check,
} if {
	input.operation.id in {"service.create", "service.update"}
}

_check := object.get(input, ["body", "TaskTemplate", "ContainerSpec", "Healthcheck", "Test"], [])

_service(name) := object.get(input, ["body", "TaskTemplate", "ContainerSpec", name], [])

_restart_policy := object.get(input, ["restart", "policy"], "unknown")

_restart_field := object.get(input, ["restart", "field"], "RestartPolicy")

_restarts if input.operation.id in {"container.create", "container.update", "service.create", "service.update"}

_restart_allowed if input.restart.policy in effective.config.containers.restart

# An update without a restart policy leaves the policy as it is.
_restart_allowed if {
	input.operation.id == "container.update"
	input.restart.policy == ""
}

_few_retries if is_null(effective.config.containers.restart_retries)

_few_retries if input.restart.policy in {"", "no", "always", "unless-stopped"}

_few_retries if {
	input.restart.retries > 0
	input.restart.retries <= effective.config.containers.restart_retries
}
