package docker.authz.rules.swarm_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.swarm

test_denied[name] if {
	some name, [request, changes, rules] in {
		"a foreign swarm": [examples.swarm_join, {}, {"swarm.join"}],
		"a swarm that is not known": [json.remove(examples.swarm_join, ["/body/RemoteAddrs"]), {}, {"swarm.join"}],
		"a foreign authority at the start": [
			object.union(examples.swarm_init, {"body": {"Spec": {"CAConfig": {"SigningCAKey": "k"}}}}),
			{},
			{"swarm.ca"},
		],
		"a foreign authority later": [
			object.union(
				examples.swarm_update,
				{"body": {"CAConfig": {"ExternalCAs": [{"URL": "https://x"}]}}},
			),
			{},
			{"swarm.ca"},
		],
		"an authority that is not known": [
			json.remove(examples.swarm_update, ["/body/CAConfig"]),
			{},
			{"swarm.ca"},
		],
		"a manager": [object.union(examples.node_update, {"body": {"Role": "manager"}}), {}, {"swarm.manager"}],
		"a plugin as a service": [examples.service_create_plugin, {}, {"swarm.runtime"}],
		"a plugin under another runtime, where any is allowed": [
			object.union(examples.service_create_plugin, {"body": {"TaskTemplate": {"Runtime": ""}}}),
			{"swarm": {"runtimes": ["*"]}},
			{"swarm.runtime"},
		],
		"a runtime that is not known": [
			json.remove(examples.service_create, ["/body/TaskTemplate/Runtime"]),
			{"swarm": {"runtimes": ["*"]}},
			{"swarm.runtime"},
		],
		"a plugin under another runtime": [
			object.union(examples.service_create_plugin, {"body": {"TaskTemplate": {"Runtime": ""}}}),
			{},
			{"swarm.runtime"},
		],
		"a rollback by itself": [
			object.union(examples.service_create, {"body": {"UpdateConfig": {"FailureAction": "rollback"}}}),
			{},
			{"swarm.rollback"},
		],
		"a rollback": [
			object.union(examples.service_update, {"request": {"query": {"rollback": ["previous"]}}}),
			{},
			{"swarm.rollback"},
		],
		"a template": [
			object.union(
				examples.secret_create,
				{"body": {"Templating": {"Name": "golang", "Options": {}}}},
			),
			{},
			{"swarm.driver"},
		],
		"a driver": [
			object.union(examples.secret_create, {"body": {"Driver": {"Name": "vault", "Options": {}}}}),
			{},
			{"swarm.driver"},
		],
		"a driver that is not known": [json.remove(examples.secret_create, ["/body/Driver"]), {}, {"swarm.driver"}],
	}
	found := swarm.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"an allowed swarm": [examples.swarm_join, {"swarm": {"join": ["manager:*"]}}],
		"a new swarm": [examples.swarm_init, {}],
		"a swarm's settings": [examples.swarm_update, {}],
		"a worker": [examples.node_update, {}],
		"a service": [examples.service_create, {}],
		"a service's change": [examples.service_update, {}],
		"a secret": [examples.secret_create, {}],
		"a plugin where that is allowed": [examples.service_create_plugin, {"swarm": {"runtimes": ["plugin"]}}],
		"any runtime": [examples.service_create_plugin, {"swarm": {"runtimes": ["*"]}}],
		"everything where it is allowed": [
			object.union(examples.swarm_update, {"body": {"CAConfig": {"SigningCAKey": "k"}}}),
			{"swarm": {"external_cas": true}},
		],
		"a manager where that is allowed": [
			object.union(examples.node_update, {"body": {"Role": "manager"}}),
			{"swarm": {"managers": true}},
		],
		"an update that pauses when it fails": [
			object.union(examples.service_create, {"body": {"UpdateConfig": {"FailureAction": "pause"}}}),
			{},
		],
		"a rollback where that is allowed": [
			object.union(examples.service_update, {"request": {"query": {"rollback": ["previous"]}}}),
			{"swarm": {"rollback": true}},
		],
		"an update that is no rollback": [
			object.union(examples.service_update, {"request": {"query": {"rollback": ["none"]}}}),
			{},
		],
		"a driver where that is allowed": [
			object.union(examples.secret_create, {"body": {"Driver": {"Name": "vault", "Options": {}}}}),
			{"swarm": {"drivers": true}},
		],
		"a list": [examples.container_list, {}],
	}
	found := swarm.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}
