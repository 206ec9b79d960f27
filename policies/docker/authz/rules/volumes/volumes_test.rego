package docker.authz.rules.volumes_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.volumes

test_denied[name] if {
	some name, [changes, config, rules] in {
		"a named volume": [{}, {"named": false}, {"volumes.named"}],
		"a volume that does not say its name": [{"volume": null}, {"named": false}, {"volumes.named"}],
		"a named volume that is a bind": [{"type": "bind"}, {"named": false}, {"volumes.named"}],
		"a driver of somebody's": [{"driver": "rexray"}, {}, {"volumes.driver"}],
		"a driver that is not said, where any is allowed": [{"driver": null}, {"drivers": ["*"]}, {"volumes.driver"}],
		"a type where only the list has a *": [
			_local({"type": "ext4", "device": "x"}, null),
			{"types": ["*"]}, {"volumes.options"},
		],
		"a driver that is not said": [{"driver": null}, {}, {"volumes.driver"}],
		"a disk": [_local({"type": "ext4", "device": "/dev/sda1"}, "/dev/sda1"), {}, {"volumes.options"}],
		"an overlay of the host's folders": [
			_local({"type": "overlay", "device": "overlay", "o": "lowerdir=/,upperdir=/u,workdir=/w"}, null),
			{}, {"volumes.options"},
		],
		"a device of an allowed type that is a path": [
			_local({"type": "nfs", "device": "/dev/sda1"}, "/dev/sda1"),
			{"types": ["nfs"]}, {"volumes.options"},
		],
		"a type that is not allowed": [
			_local({"type": "cifs", "device": "//host/x"}, null),
			{"types": ["nfs"]}, {"volumes.options"},
		],
		"options that are not said": [{"options": null}, {}, {"volumes.options"}],
		"a type of mount that is not said": [{"type": null}, {"named": false}, {"volumes.named"}],
	}
	found := _denials(changes, config)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [changes, config] in {
		"a named volume where that is allowed": [{}, {}],
		"an anonymous volume": [{"volume": ""}, {"named": false}],
		"a driver on the list": [{"driver": "rexray"}, {"drivers": ["local", "rexray"]}],
		"any driver": [{"driver": "rexray"}, {"drivers": ["*"]}],
		"the default driver": [{"driver": ""}, {"drivers": []}],
		"a size": [_local({"size": "1g"}, null), {}],
		"a share of an allowed type": [
			_local({"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}, null),
			{"types": ["nfs"]},
		],
		"a disk, in a container that is started": [
			object.union(_local({"type": "ext4", "device": "/dev/sda1"}, "/dev/sda1"), {"origin": "container"}),
			{"named": false},
		],
		"a bind, which others judge": [{"type": "bind", "volume": "", "options": {"type": "none"}}, {"named": false}],
		"a file system in memory": [{"type": "tmpfs", "volume": ""}, {"named": false}],
		"an image": [{"type": "image", "volume": ""}, {"named": false}],
	}
	count(_denials(changes, config)) == 0
}

test_a_volume_of_its_own_is_judged_too if {
	found := volumes.denials with input as examples.volume_create
		with data.docker.authz.config as profiles.production
	{denial.rule | some denial in found} == {"volumes.named"}
}

test_without_configuration_nothing_is_allowed if {
	found := volumes.denials with input as _request({"driver": "local", "options": {"type": "nfs"}})
		with data.docker.authz.config as {}
	rules := {denial.rule | some denial in found}
	rules == {"volumes.named", "volumes.driver", "volumes.options"}
}

_denials(changes, config) := found if {
	found := volumes.denials with input as _request(changes)
		with data.docker.authz.config as object.union(
			profiles.production,
			{"volumes": object.union({"named": true}, config)},
		)
}

_request(changes) := object.union(examples.container_create, {"mounts": [object.union(_volume, changes)]})

_volume := {
	"type": "volume",
	"source": "data",
	"path": null,
	"resolved": null,
	"exists": false,
	"target": "/data",
	"read_only": false,
	"propagation": "",
	"driver": "",
	"options": {},
	"volume": "data",
	"field": "HostConfig.Mounts[0]",
}

_local(options, path) := {"driver": "local", "options": options, "path": path}
