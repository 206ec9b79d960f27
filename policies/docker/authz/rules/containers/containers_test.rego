package docker.authz.rules.containers_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.containers

test_denied[name] if {
	some name, [request, changes, rules] in {
		"another runtime": [_host({"Runtime": "kata"}), {}, {"containers.runtime"}],
		"a runtime that is not known": [
			json.remove(examples.container_create_full, ["/body/HostConfig/Runtime"]),
			{},
			{"containers.runtime"},
		],
		"another runtime at the top level": [_top_runtime("kata"), {}, {"containers.runtime"}],
		"a runtime beside a default that is not allowed": [
			object.union(_host({"Runtime": ""}), {"body": {"Runtime": "runsc"}}),
			{"containers": {"runtimes": ["runsc"]}},
			{"containers.runtime"},
		],
		"a runtime at the top level that is not known": [
			json.remove(examples.container_create_full, ["/body/Runtime"]),
			{},
			{"containers.runtime"},
		],
		"a runtime that is not known, where any is allowed": [
			json.remove(examples.container_create_full, ["/body/HostConfig/Runtime"]),
			{"containers": {"runtimes": ["*"]}},
			{"containers.runtime"},
		],
		"a runtime that fits no pattern": [
			_host({"Runtime": "kata"}),
			{"containers": {"runtimes": ["runc*"]}},
			{"containers.runtime"},
		],
		"another parent cgroup": [_host({"CgroupParent": "system.slice"}), {}, {"containers.cgroup-parent"}],
		"a group": [_host({"GroupAdd": ["docker"]}), {}, {"containers.group"}],
		"a service's group": [_service({"Groups": ["docker"]}), {}, {"containers.group"}],
		"an annotation": [_host({"Annotations": {"run.oci.handler": "x"}}), {}, {"containers.annotation"}],
		"a storage option": [_host({"StorageOpt": {"size": "1t"}}), {}, {"containers.storage-option"}],
		"a restart policy": [
			_restart("always", 0),
			{"containers": {"restart": ["no"]}},
			{"containers.restart"},
		],
		"no limit of restarts": [
			_restart("on-failure", 0),
			{"containers": {"restart_retries": 5}},
			{"containers.restart-retries"},
		],
		"too many restarts": [
			_restart("on-failure", 6),
			{"containers": {"restart_retries": 5}},
			{"containers.restart-retries"},
		],
		"a service whose tasks always start again": [
			examples.service_create,
			{"containers": {"restart": ["no"]}},
			{"containers.restart"},
		],
		"the shell of a health check": [
			object.union(examples.container_create_full, {"body": {"Shell": ["/usr/sbin/sshd"]}}),
			_no_sshd,
			{"containers.command"},
		],
		"an update to another restart policy": [
			_update("always"),
			{"containers": {"restart": ["no"]}},
			{"containers.restart"},
		],
		"a restart policy that is not known": [
			json.remove(examples.container_create_full, ["/restart"]),
			{"containers": {"restart_retries": 5}},
			{"containers.restart", "containers.restart-retries"},
		],
		"a command": [
			object.union(examples.container_create_full, {"body": {"Cmd": ["/usr/sbin/sshd"]}}),
			_no_sshd,
			{"containers.command"},
		],
		"a health check": [
			object.union(
				examples.container_create_full,
				{"body": {"Healthcheck": {"Test": ["CMD", "/usr/sbin/sshd"]}}},
			),
			_no_sshd,
			{"containers.command"},
		],
		"an exec": [
			object.union(examples.exec_create, {"body": {"Cmd": ["/usr/sbin/sshd"]}}),
			_no_sshd,
			{"containers.command"},
		],
		"a service's command": [_service({"Command": ["/usr/sbin/sshd"]}), _no_sshd, {"containers.command"}],
		"arguments of ps": [
			object.union(examples.container_top, {"request": {"query": {"ps_args": ["e"]}}}),
			{},
			{"containers.ps-arguments"},
		],
		"arguments of ps are no patterns": [
			object.union(examples.container_top, {"request": {"query": {"ps_args": ["-ef"]}}}),
			{"containers": {"ps_arguments": ["-*", "*"]}},
			{"containers.ps-arguments"},
		],
		"a command that is not known": [
			json.remove(examples.container_create_full, ["/body/Cmd"]),
			{},
			{"containers.unreadable"},
		],
		"an exec's command that is not known": [
			json.remove(examples.exec_create, ["/body/Cmd"]),
			{},
			{"containers.unreadable"},
		],
		"words that are not known": [
			examples.container_create_full,
			{"containers": {"deny_commands": null}},
			{"containers.unreadable"},
		],
		"no host configuration": [
			json.remove(examples.container_create_full, ["/body/HostConfig"]),
			{},
			{
				"containers.runtime",
				"containers.cgroup-parent",
				"containers.unreadable",
			},
		],
	}
	found := containers.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"an ordinary container": [examples.container_create_full, {}],
		"an ordinary service": [examples.service_create, {}],
		"a list": [examples.container_list, {}],
		"an exec": [examples.exec_create, _no_sshd],
		"an allowed runtime": [_host({"Runtime": "runc"}), {}],
		"an allowed runtime at the top level": [_top_runtime("runc"), {}],
		"any runtime": [_top_runtime("kata"), {"containers": {"runtimes": ["*"]}}],
		"a runtime that fits a pattern": [_host({"Runtime": "kata-fc"}), {"containers": {"runtimes": ["", "kata-*"]}}],
		"any parent cgroup": [_host({"CgroupParent": "x.slice"}), {"containers": {"cgroup_parents": ["*"]}}],
		"any storage option": [_host({"StorageOpt": {"size": "1t"}}), {"containers": {"storage_options": ["*"]}}],
		"an allowed group": [_host({"GroupAdd": ["1000"]}), {"containers": {"groups": ["*"]}}],
		"few restarts": [
			_restart("on-failure", 5),
			{"containers": {"restart_retries": 5}},
		],
		"an update of something else": [
			examples.container_update,
			{"containers": {"restart": ["no"], "restart_retries": 5}},
		],
		"ordinary arguments of ps": [examples.container_top, {}],
		"another command": [examples.container_create_full, _no_sshd],
		"an allowed annotation": [
			_host({"Annotations": {"org.x": "y"}}),
			{"containers": {"annotations": ["org.*"]}},
		],
	}
	found := containers.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_host(changes) := object.union(examples.container_create_full, {"body": {"HostConfig": changes}})

_service(changes) := object.union(
	examples.service_create,
	{"body": {"TaskTemplate": {"ContainerSpec": changes}}},
)

_update(policy) := object.union(examples.container_update, {"restart": {"policy": policy}})

_restart(policy, retries) := object.union(
	examples.container_create_full,
	{"restart": {"policy": policy, "retries": retries, "field": "HostConfig.RestartPolicy"}},
)

_no_sshd := {"containers": {"deny_commands": ["*sshd"]}}

test_what_is_empty_is_named if {
	found := containers.denials with input as _host({"Runtime": ""})
		with data.docker.authz.config as object.union(profiles.closed, {"containers": {"runtimes": ["runsc"]}})
	{denial.message | some denial in found} == {`runtime "" (dockerd's default) is not allowed`}
}

_top_runtime(name) := object.union(examples.container_create_full, {"body": {"Runtime": name}})
