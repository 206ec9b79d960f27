package docker.authz.rules.resources_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.resources

test_denied[name] if {
	some name, [request, changes, rules] in {
		"no limits": [examples.container_create, _limited, {"resources.required", "resources.max"}],
		"a service without limits": [examples.service_create, _limited, {"resources.required", "resources.max"}],
		"too much memory": [_more_limits({"resource": "memory", "value": 536870913}), _limited, {"resources.max"}],
		"memory made unlimited": [
			object.union(
				examples.container_update,
				{"limits": [{"resource": "memory", "value": -1, "field": "Memory"}]},
			),
			_limited,
			{"resources.required", "resources.max"},
		],
		"a limit of nothing": [_more_limits({}), _limited, {"resources.required", "resources.max"}],
		"limits that are not known": [
			json.remove(examples.container_create_full, ["/limits"]),
			_limited,
			{"resources.unreadable"},
		],
		"limits that got lost": [
			object.union(examples.container_create_full, {"limits": []}),
			_limited,
			{"resources.unreadable"},
		],
		"a service's limits that got lost": [
			object.union(examples.service_create, {"limits": []}),
			{},
			{"resources.unreadable"},
		],
		"a changed service's limits that got lost": [
			object.union(examples.service_update, {"limits": []}),
			{},
			{"resources.unreadable"},
		],
		"a ulimit above its ceiling": [_ulimit("nofile", 2000000, 2000000), {}, {"resources.ulimit"}],
		"an unlimited ulimit": [_ulimit("nofile", -1, -1), {}, {"resources.ulimit"}],
		"a soft ulimit above the hard one": [_ulimit("nofile", 5, 4), {}, {"resources.ulimit"}],
		"an unlimited soft ulimit": [_ulimit("nofile", -1, 4), {}, {"resources.ulimit"}],
		"another ulimit": [_ulimit("memlock", 1, 1), {}, {"resources.ulimit"}],
		"a low OOM score": [_host({"OomScoreAdj": -1}), {}, {"resources.oom-score"}],
		"a service's low OOM score": [
			object.union(
				examples.service_create,
				{"body": {"TaskTemplate": {"ContainerSpec": {"OomScoreAdj": -500}}}},
			),
			{},
			{"resources.oom-score"},
		],
		"an OOM score that is not known": [
			json.remove(examples.container_create_full, ["/body/HostConfig/OomScoreAdj"]),
			{},
			{"resources.oom-score"},
		],
		"settings that are lost": [
			object.union(examples.container_create_full, {"body": {"HostConfig": null}}), {},
			{"resources.block-device", "resources.oom-kill", "resources.oom-score", "resources.realtime"},
		],
		"no OOM killer": [_host({"OomKillDisable": true}), {}, {"resources.oom-kill"}],
		"no OOM killer after an update": [
			object.union(examples.container_update, {"body": {"OomKillDisable": true}}),
			{},
			{"resources.oom-kill"},
		],
		"an OOM killer that is not known": [
			json.remove(examples.container_create_full, ["/body/HostConfig/OomKillDisable"]),
			{},
			{"resources.oom-kill"},
		],
		"real-time priority": [_host({"CpuRealtimeRuntime": 1}), {}, {"resources.realtime"}],
		"a device": [
			_host({"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}]}),
			{},
			{"resources.block-device"},
		],
	}
	found := resources.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_a_message_says_what_to_give_as_well if {
	request := object.union(examples.container_update, {"limits": [
		{"resource": "memory", "value": -1, "field": "Memory", "advice": "give MemorySwap with Memory"},
		{"resource": "memory", "value": -1, "field": "Memory", "advice": ""},
	]})
	found := resources.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, _limited)
	{denial.message | some denial in found; denial.rule == "resources.max"} == {
		"memory above the ceiling, as far as the request tells: give MemorySwap with Memory",
		"memory above the ceiling",
	}
}

test_allowed[name] if {
	some name, [request, changes] in {
		"limits below their ceilings": [examples.container_create_full, _limited],
		"a device where that is allowed": [
			_host({"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}]}),
			{"resources": {"block_devices": true}},
		],
		"no limits where none are asked for": [examples.container_create, {}],
		"an update": [examples.container_update, _limited],
		"a list": [examples.container_list, _limited],
		"any stack": [_ulimit("stack", -1, -1), {}],
		"a service that installs a plugin": [examples.service_create_plugin, _limited],
		"everything else allowed": [
			_host({"OomKillDisable": true, "CpuRealtimeRuntime": 1, "OomScoreAdj": -1000}),
			{"resources": {"oom_kill_disable": true, "realtime": true, "oom_score": -1000}},
		],
	}
	found := resources.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_limited := {"resources": {"required": ["cpus", "memory", "pids"], "max": {"memory": 536870912}}}

_host(changes) := object.union(examples.container_create_full, {"body": {"HostConfig": changes}})

_more_limits(limit) := object.union(
	examples.container_create_full,
	{"limits": array.concat(object.get(examples.container_create_full, "limits", []), [limit])},
)

_ulimit(name, soft, hard) := object.union(
	examples.container_create_full,
	{"ulimits": [{"name": name, "soft": soft, "hard": hard, "field": "HostConfig.Ulimits[0]"}]},
)
