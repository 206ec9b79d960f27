package docker.authz.rules.plugins_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.plugins

test_denied[name] if {
	some name, [request, changes, rules] in {
		"a change": [examples.plugin_disable, {}, {"plugins.change"}],
		"a change of what is not known where any is allowed": [
			json.remove(examples.plugin_disable, ["/operation/resource"]),
			{"plugins": {"change": ["*"]}},
			{"plugins.change"},
		],
		"a change of what is not known": [
			json.remove(examples.plugin_disable, ["/operation/resource"]),
			_all,
			{"plugins.change"},
		],
		"an installation": [examples.plugin_pull, {}, {"plugins.install", "plugins.privilege"}],
		"an installation by a service": [
			examples.service_create_plugin,
			{},
			{"plugins.install", "plugins.privilege"},
		],
		"a privilege": [
			examples.plugin_pull,
			{"plugins": {"install": ["*"], "privileges": {"network": ["none"]}}},
			{"plugins.privilege"},
		],
		"a privilege without values": [
			object.union(examples.plugin_pull, {"body": [{"Name": "allow-all-devices", "Value": []}]}),
			_all,
			{"plugins.privilege"},
		],
		"a setting": [
			examples.plugin_set,
			{"plugins": {"change": ["driver"], "settings": ["DEBUG=*"]}},
			{"plugins.setting"},
		],
		"settings that are not known": [
			json.remove(examples.plugin_set, ["/body"]),
			{"plugins": {"change": ["driver"]}},
			{"plugins.setting", "plugins.unreadable"},
		],
		"making one": [examples.plugin_create, {}, {"plugins.create"}],
		"a plugin that is not known": [
			object.union(examples.plugin_pull, {"images": [{}]}),
			{"plugins": {"install": ["registry.example/*"], "privileges": {"network": ["host"]}}},
			{"plugins.install"},
		],
		"privileges that are not known": [
			json.remove(examples.plugin_pull, ["/body"]),
			_all,
			{"plugins.unreadable"},
		],
	}
	found := plugins.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a change of one that is named": [examples.plugin_disable, {"plugins": {"change": ["driver"]}}],
		"a change of any": [examples.plugin_disable, {"plugins": {"change": ["*"]}}],
		"any value of a privilege": [
			examples.plugin_pull,
			{"plugins": {"install": ["*"], "privileges": {"network": ["*"]}}},
		],
		"a setting that is allowed": [
			examples.plugin_set,
			{"plugins": {"change": ["driver"], "settings": ["data.source=/srv/*"]}},
		],
		"an allowed installation": [examples.plugin_pull, _all],
		"any installation": [
			examples.plugin_pull,
			{"plugins": {"install": ["*"], "privileges": {"network": ["host"]}}},
		],
		"an allowed service": [examples.service_create_plugin, _all],
		"making one where that is allowed": [examples.plugin_create, {"plugins": {"create": true}}],
		"a service": [examples.service_create, {}],
		"a list": [examples.container_list, {}],
	}
	found := plugins.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_all := {"plugins": {
	"change": ["driver"],
	"install": ["registry.example/driver"],
	"privileges": {"network": ["host"]},
}}
