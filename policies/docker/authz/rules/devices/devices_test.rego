package docker.authz.rules.devices_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.devices

test_denied[name] if {
	some name, [host_config, changes, rules] in {
		"a disk": [{"Devices": [_device("/dev/sda")]}, {}, {"devices.mapping"}],
		"a folder of devices": [{"Devices": [_device("/dev")]}, _fuse, {"devices.mapping"}],
		"a device below an allowed one": [{"Devices": [_device("/dev/fuse/x")]}, _fuse, {"devices.mapping"}],
		"a device without a path": [{"Devices": [{}]}, _fuse, {"devices.mapping"}],
		"one of two": [{"Devices": [_device("/dev/fuse"), _device("/dev/mem")]}, _fuse, {"devices.mapping"}],
		"a GPU": [{"DeviceRequests": [{"Driver": "nvidia"}]}, {}, {"devices.request"}],
		"a cgroup rule": [{"DeviceCgroupRules": ["b *:* rwm"]}, {}, {"devices.cgroup-rule"}],
		"devices that are no list": [{"Devices": null}, {}, {"devices.unreadable"}],
	}
	found := devices.denials with input as _container(host_config)
		with data.docker.authz.config as _config(changes)
	{denial.rule | some denial in found} == rules
}

test_what_is_not_said_is_denied[name] if {
	some name, rule in {
		"Devices": "devices.unreadable",
		"DeviceRequests": "devices.request",
		"DeviceCgroupRules": "devices.cgroup-rule",
	}
	path := sprintf("/body/HostConfig/%s", [name])
	found := devices.denials with input as json.remove(examples.container_create, [path])
		with data.docker.authz.config as profiles.production
	{denial.rule | some denial in found} == {rule}
}

test_allowed[name] if {
	some name, [host_config, changes] in {
		"none": [{}, {}],
		"a device on the list": [{"Devices": [_device("/dev/fuse")]}, _fuse],
		"a GPU where that is allowed": [{"DeviceRequests": [{}]}, {"devices": {"requests": true}}],
		"a cgroup rule where that is allowed": [
			{"DeviceCgroupRules": ["c 1:3 r"]},
			{"devices": {"cgroup_rules": true}},
		],
	}
	found := devices.denials with input as _container(host_config)
		with data.docker.authz.config as _config(changes)
	count(found) == 0
}

test_variables_that_ask_for_devices[name] if {
	some name, [request, changes, rules] in {
		"one of a runtime's": [_asking(["A", "NVIDIA_VISIBLE_DEVICES"]), {}, {"devices.environment"}],
		"one of a service's": [
			object.union(examples.service_create, {"environment": ["NVIDIA_VISIBLE_DEVICES"]}), {},
			{"devices.environment"},
		],
		"another": [_asking(["CUDA_VISIBLE_DEVICES"]), {}, set()],
		"none that are known": [json.remove(examples.container_create, ["/environment"]), {}, {"devices.environment"}],
		"no list of them": [_asking(["A"]), {"devices": {"environment": null}}, {"devices.environment"}],
		"where devices may be asked for": [_asking(["NVIDIA_VISIBLE_DEVICES"]), {"devices": {"requests": true}}, set()],
	}
	found := devices.denials with input as request with data.docker.authz.config as _config(changes)
	{denial.rule | some denial in found} == rules
}

test_generic_resources_are_device_requests[name] if {
	some name, [reservations, rules] in {
		"a kind": [{"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]}, {"devices.request"}],
		"none": [{"GenericResources": []}, set()],
		"nothing reserved": [null, set()],
		"what is not said": [{}, {"devices.request"}],
	}
	request := object.union(
		examples.service_create,
		{"body": {"TaskTemplate": {"Resources": {"Reservations": reservations}}}},
	)
	found := devices.denials with input as request with data.docker.authz.config as _config({})
	{denial.rule | some denial in found} == rules
}

test_other_operations_have_no_devices if {
	found := devices.denials with input as examples.container_list
		with data.docker.authz.config as profiles.production
	count(found) == 0
}

_asking(names) := object.union(examples.container_create, {"environment": names})

_fuse := {"devices": {"allow": ["/dev/fuse"]}}

_config(changes) := object.union(profiles.production, changes)

_container(changes) := object.union(examples.container_create, {"body": {"HostConfig": changes}})

_device(path) := {"PathOnHost": path, "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}
