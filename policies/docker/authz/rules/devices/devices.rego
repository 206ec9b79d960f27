# METADATA
# title: Host devices
# description: A raw disk holds the host's file system; /dev/mem is the host's memory.
package docker.authz.rules.devices

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A mapped device must be an allowed one
# description: A directory maps every device below it.
# custom:
#   id: devices.mapping
#   settings: [devices.allow]
#   remedy: Leave --device out, or name a device that the denial lists, itself and not its folder.
#   change: {add: devices.allow}
#   danger: gives access to a device of the host, whatever its file permissions
#   records: ["body.HostConfig.Devices[].PathOnHost"]
#   controls: [cis 5.18, owasp Container breakout, nist 4.4.3, portainer Devices]
denials contains denial.of(
	"devices.mapping", sprintf("HostConfig.Devices[%d]", [i]), object.get(device, "PathOnHost", null),
	sprintf("device %s is not allowed", [object.get(device, "PathOnHost", "unknown")]),
	denial.allowed(effective.list(["devices", "allow"])),
) if {
	input.operation.id == "container.create"
	some i, device in input.body.HostConfig.Devices
	not _allowed(device)
}

# METADATA
# title: Device requests need permission
# description: |
#   A container's device request names GPUs or CDI devices; a service's names generic resources of a
#   node. A CDI device may add mounts and hooks.
# custom:
#   id: devices.request
#   settings: [devices.requests]
#   remedy: Run it without --gpus, CDI devices and generic resources.
#   change: {set: devices.requests, to: true}
#   danger: gives access to GPUs and to CDI devices, which may add mounts and hooks
#   controls: [cis 5.18, owasp Container breakout, nist 4.4.3, portainer Devices]
denials contains denial.of(
	"devices.request", field, null,
	"device requests (GPUs, CDI, generic resources) are not allowed",
	"devices.requests is false",
) if {
	input.operation.access == "write"
	not _requests_allowed
	some field in _requests
}

# METADATA
# title: Environment variables that request devices from a runtime need permission
# description: |
#   If a runtime that reads such variables is the default runtime, an environment variable is enough
#   to get the host's GPUs.
# custom:
#   id: devices.environment
#   settings: [devices.requests, devices.environment]
#   remedy: Leave the variable out.
#   change: {set: devices.requests, to: true}
#   danger: gives access to devices of the host, and to what CDI adds with them
#   records: [environment]
#   controls: [cis 5.18, owasp Container breakout, nist 4.4.3]
denials contains denial.of(
	"devices.environment", "Env", name,
	sprintf("variable %s asks for devices, which is not allowed", [name]),
	"devices.requests is false",
) if {
	input.operation.access == "write"
	not _requests_allowed
	some name in _asking
}

# METADATA
# title: Device cgroup rules need permission
# description: |
#   With a rule for every block device, a container can create device files for the host's disks and
#   read them.
# custom:
#   id: devices.cgroup-rule
#   settings: [devices.cgroup_rules]
#   remedy: Run it without --device-cgroup-rule.
#   change: {set: devices.cgroup_rules, to: true}
#   danger: gives access to any device of the host, its disks included
#   controls: [cis 5.18, owasp Container breakout, nist 4.4.3, portainer Devices]
denials contains denial.of(
	"devices.cgroup-rule", "HostConfig.DeviceCgroupRules", null,
	"device cgroup rules are not allowed",
	"devices.cgroup_rules is false",
) if {
	input.operation.id == "container.create"
	not _empty("DeviceCgroupRules")
	not _cgroup_rules_allowed
}

# METADATA
# title: Devices must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: devices.unreadable
denials contains denial.of(
	"devices.unreadable", "HostConfig.Devices", null,
	"the request's devices cannot be read", "",
) if {
	input.operation.id == "container.create"
	not _listed
}

_allowed(device) if device.PathOnHost in effective.config.devices.allow

# If the variables are not known, each may request devices.
# The variables that ask for devices. Few names do, so the names are looked up in the request.
_asking contains name if {
	_environment_known
	some name in effective.config.devices.environment
	name in input.environment
}

_asking contains name if {
	not _environment_known
	some name in object.get(input, "environment", ["an unknown variable"])
}

_environment_known if {
	is_array(input.environment)
	is_array(effective.config.devices.environment)
}

_requests contains "HostConfig.DeviceRequests" if {
	input.operation.id == "container.create"
	not _empty("DeviceRequests")
}

_requests contains "TaskTemplate.Resources.Reservations.GenericResources" if {
	input.operation.id in {"service.create", "service.update"}
	not _reserves_nothing
}

_reserves_nothing if is_null(input.body.TaskTemplate.Resources)

_reserves_nothing if is_null(input.body.TaskTemplate.Resources.Reservations)

_reserves_nothing if input.body.TaskTemplate.Resources.Reservations.GenericResources == []

_requests_allowed if effective.config.devices.requests == true

_cgroup_rules_allowed if effective.config.devices.cgroup_rules == true

_empty(name) if input.body.HostConfig[name] == []

_listed if is_array(input.body.HostConfig.Devices)
