package docker.authz.rules.identity_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.identity

test_denied[name] if {
	some name, [request, changes, rules] in {
		"a stranger where strangers are denied": [
			examples.container_list,
			{"strangers": "deny"},
			{"identity.stranger"},
		],
		"a certificate that was taken back": [
			json.patch(examples.container_list, [{"op": "replace", "path": "/caller/revoked", "value": true}]),
			{},
			{"identity.revoked"},
		],
		"nobody knows whether a certificate was taken back": [
			json.remove(examples.container_list, ["/caller/revoked"]),
			{},
			{"identity.revoked"},
		],
		"what strangers get is not known": [examples.container_list, {"strangers": null}, {"identity.stranger"}],
	}
	found := identity.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a stranger where strangers are allowed": [examples.container_list, {}],
		"a nameless caller with the default role": [
			examples.container_list,
			{"strangers": "deny", "default_role": "local", "roles": {"local": {}}},
		],
	}
	found := identity.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}
