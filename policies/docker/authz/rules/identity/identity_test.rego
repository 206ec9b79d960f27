package docker.authz.rules.identity_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.identity

test_denied[name] if {
	some name, [request, changes, rules] in {
		"an unmatched caller where unmatched callers are denied": [
			examples.container_list,
			{"unmatched_callers": "deny"},
			{"identity.unmatched-caller"},
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
		"what unmatched callers get is not known": [
			examples.container_list,
			{"unmatched_callers": null},
			{"identity.unmatched-caller"},
		],
	}
	found := identity.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"an unmatched caller where unmatched callers are allowed": [examples.container_list, {}],
		"a nameless caller with the default role": [
			examples.container_list,
			{"unmatched_callers": "deny", "default_role": "local", "roles": {"local": {}}},
		],
	}
	found := identity.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}
