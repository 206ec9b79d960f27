# METADATA
# title: Resources
# description: A container without limits can use up the resources of the whole host.
package docker.authz.rules.resources

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A required limit must be given
# description: Applies to memory, CPUs, processes and the size of a tmpfs.
# custom:
#   id: resources.required
#   settings: [resources.required]
#   remedy: Give the limit with --memory, --cpus or --pids-limit, or a tmpfs its size.
#   change: {remove: resources.required, from: limits.resource}
#   danger: your configuration now requires it and would no longer require it
#   baseline: {resources.required: configured}
#   records: [limits]
#   controls: [cis 5.11, cis 5.12, cis 5.29, owasp Denial of service, "owasp #7"]
denials contains denial.of(
	"resources.required", object.get(limit, "field", "HostConfig"), object.get(limit, "value", null),
	sprintf("a limit of %s must be given", [object.get(limit, "resource", "resources")]),
	_hint,
) if {
	input.operation.access == "write"
	effective.config.resources.required != []
	some limit in input.limits
	_is_required(limit)
	not _given(limit)
}

# METADATA
# title: A limit must be at or below its ceiling
# description: |
#   A missing limit counts as above every ceiling. Limits are computed as dockerd computes them, its
#   defaults included.
# custom:
#   id: resources.max
#   settings: [resources.max]
#   remedy: |
#     Give a limit at or below the ceiling that the denial names. Without --memory-swap a container
#     gets as much swap as memory. An update must give --cpu-period with --cpu-quota, and
#     --memory-swap with --memory, because the request does not show the current limits.
#   change: {function: limit}
#   danger: raises a ceiling that your configuration sets
#   baseline: {resources.max: configured}
#   records: [limits]
#   controls: [cis 5.11, cis 5.12, cis 5.29, owasp Denial of service, "owasp #7"]
denials contains denial.of(
	"resources.max", object.get(limit, "field", "HostConfig"), object.get(limit, "value", null),
	sprintf("%s above the ceiling%s", [object.get(limit, "resource", "a resource"), _advice(limit)]),
	_hint,
) if {
	input.operation.access == "write"
	some limit in input.limits
	not _low_enough(limit)
}

# METADATA
# title: A process limit must be an allowed one
# description: Each name has its own ceiling; the value -1 is above every ceiling.
# custom:
#   id: resources.ulimit
#   settings: [resources.ulimits]
#   remedy: Leave --ulimit out, or stay at or below the ceiling that the denial names.
#   change: {function: ulimit}
#   records: [ulimits]
#   controls: [cis 5.19, owasp Denial of service, "owasp #7"]
denials contains denial.of(
	"resources.ulimit", object.get(ulimit, "field", "HostConfig.Ulimits"),
	object.get(ulimit, "name", null),
	sprintf("ulimit %s=%v is not allowed", [
		object.get(ulimit, "name", "unknown"),
		object.get(ulimit, "hard", "unknown"),
	]),
	denial.allowed([sprintf("%s: %v", [name, most]) | some name, most in effective.config.resources.ulimits]),
) if {
	input.operation.access == "write"
	some ulimit in input.ulimits
	not _allowed(ulimit)
}

# METADATA
# title: The OOM score must not be too low
# description: |
#   The kernel first kills processes with a higher score, and these can be processes of the host.
# custom:
#   id: resources.oom-score
#   settings: [resources.oom_score]
#   remedy: Leave --oom-score-adj out.
#   change: {function: oom_score}
#   danger: when memory runs out, the kernel kills other processes first, also those of the host
#   baseline: {resources.oom_score: greater}
#   controls: [owasp Denial of service, docker Resources]
denials contains denial.of(
	"resources.oom-score", "OomScoreAdj", _score,
	sprintf("OOM score adjustment %v is not allowed", [_score]),
	sprintf("at least %v", [effective.list(["resources", "oom_score"])]),
) if {
	input.operation.access == "write"
	_makes
	not _score_high_enough
}

# METADATA
# title: The OOM killer must not be disabled
# description: If the kernel cannot kill the container, the host stops when its memory runs out.
# custom:
#   id: resources.oom-kill
#   settings: [resources.oom_kill_disable]
#   remedy: Leave --oom-kill-disable out and give the container enough memory.
#   change: {set: resources.oom_kill_disable, to: true}
#   danger: the host can stop when its memory runs out
#   controls: [owasp Denial of service, docker Resources]
denials contains denial.of(
	"resources.oom-kill", "OomKillDisable", true,
	"disabling the OOM killer is not allowed", "resources.oom_kill_disable is false",
) if {
	input.operation.access == "write"
	input.operation.id in {"container.create", "container.update"}
	not _killable
}

# METADATA
# title: CPU time with real-time priority needs permission
# description: Real-time processes run before every ordinary process of the host.
# custom:
#   id: resources.realtime
#   settings: [resources.realtime]
#   remedy: |
#     Leave --cpu-rt-runtime and --cpu-rt-period out; --cpu-shares gives a container more CPU
#     time.
#   change: {set: resources.realtime, to: true}
#   danger: runs before every ordinary process of the host
#   controls: [docker Resources]
denials contains denial.of(
	"resources.realtime", "CpuRealtimeRuntime", null,
	"CPU time with real-time priority is not allowed", "resources.realtime is false",
) if {
	input.operation.access == "write"
	input.operation.id in {"container.create", "container.update"}
	not _ordinary_priority
}

# METADATA
# title: Limits that name devices of the host need permission
# description: dockerd looks each path up on the host, as root.
# custom:
#   id: resources.block-device
#   settings: [resources.block_devices]
#   remedy: Leave limits of single devices out; --blkio-weight applies to all devices.
#   change: {set: resources.block_devices, to: true}
#   danger: limits may name block devices of the host, which dockerd looks up as root
#   controls: [docker Resources]
denials contains denial.of(
	"resources.block-device", name, null,
	sprintf("%s is not allowed", [name]), "resources.block_devices is false",
) if {
	input.operation.access == "write"
	input.operation.id in {"container.create", "container.update"}
	some name in {
		"BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps",
		"BlkioDeviceWriteIOps",
	}
	not _names_no_device(name)
}

# METADATA
# title: Limits must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: resources.unreadable
denials contains denial.of("resources.unreadable", "limits", null, "the request's limits cannot be read", "") if {
	input.operation.access == "write"
	not _readable
}

_readable if {
	is_array(input.limits)
	is_array(input.ulimits)
	is_array(effective.config.resources.required)
	not _lacks_limits
}

_lacks_limits if {
	_makes
	count({limit.resource | some limit in input.limits} & {"cpus", "memory", "pids"}) < 3
	_runs_container
}

_runs_container if input.operation.id == "container.create"

_runs_container if is_object(input.body.TaskTemplate.ContainerSpec)

_makes if input.operation.id == "container.create"

_makes if input.operation.id == "service.create"

_makes if input.operation.id == "service.update"

_is_required(limit) if object.get(limit, "resource", "cpus") in effective.config.resources.required

_given(limit) if limit.value > 0

default _advice(_) := ""

_advice(limit) := sprintf(", as far as the request tells: %s", [limit.advice]) if limit.advice != ""

_low_enough(limit) if {
	is_null(effective.config.resources.max[limit.resource])
} else if {
	limit.value >= 0
	limit.value <= effective.config.resources.max[limit.resource]
}

_allowed(ulimit) if is_null(effective.config.resources.ulimits[ulimit.name])

_allowed(ulimit) if {
	ulimit.hard >= 0
	ulimit.hard <= effective.config.resources.ulimits[ulimit.name]
	ulimit.soft >= 0
	ulimit.soft <= ulimit.hard
}

default _score := null

_score := input.body.HostConfig.OomScoreAdj if input.operation.id == "container.create"

_score := input.body.TaskTemplate.ContainerSpec.OomScoreAdj if input.operation.id != "container.create"

_score_high_enough if {
	is_number(_score)
	_score >= effective.config.resources.oom_score
}

_score_high_enough if {
	input.operation.id != "container.create"
	is_null(input.body.TaskTemplate.ContainerSpec)
}

_killable if effective.config.resources.oom_kill_disable == true

_killable if not _field("OomKillDisable") in {true, "absent"}

_ordinary_priority if effective.config.resources.realtime == true

_ordinary_priority if {
	_field("CpuRealtimeRuntime") == 0
	_field("CpuRealtimePeriod") == 0
}

_names_no_device(_) if effective.config.resources.block_devices == true

_names_no_device(name) if _field(name) == []

_field(name) := object.get(_settings, name, "absent")

# Empty if they are missing or no object: their fields then count as absent.
default _settings := {}

_settings := input.body.HostConfig if {
	input.operation.id == "container.create"
	is_object(input.body.HostConfig)
} else := input.body if {
	input.operation.id == "container.update"
	is_object(input.body)
}

# One sprintf for all ceilings, because it is slower than the rest of a denial.
_hint := sprintf(
	concat(", ", ["%s: at most %v" | some _ in _ceilings]),
	[part | some ceiling in _ceilings; some part in ceiling],
)

_ceilings := sort([[name, most] |
	some name, most in effective.config.resources.max
	not is_null(most)
])
