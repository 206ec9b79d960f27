package docker.authz.rules.labels_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.labels

test_denied[name] if {
	some name, [request, changes, rules] in {
		"a missing label": [examples.container_create, _team, {"labels.required"}],
		"another value": [
			object.union(examples.network_create, {"body": {"Labels": {"team": "green"}}}),
			_team,
			{"labels.required"},
		],
		"a volume without label": [examples.volume_create, _team, {"labels.required"}],
		"a service whose containers have none": [
			object.union(examples.service_create, {"body": {"Labels": {"team": "blue"}}}),
			_team,
			{"labels.required"},
		],
		"labels that are not known": [
			json.remove(examples.container_create_full, ["/body/Labels"]),
			_team,
			{"labels.required"},
		],
		"a reserved label": [
			examples.container_create_full,
			{"labels": {"reserved_folded": ["te*"]}},
			{"labels.reserved"},
		],
		"a reserved label in another case": [
			_label({"name": "Traefik.Enable", "folded": "traefik.enable"}),
			{"labels": {"reserved_folded": ["traefik.*"]}},
			{"labels.reserved"},
		],
		"a label that cannot be read": [
			_label({"name": null, "folded": ""}),
			{"labels": {"reserved_folded": ["traefik.*"]}},
			{"labels.reserved"},
		],
		"a label of nothing": [
			object.union(examples.container_create, {"labels": [{}]}),
			{"labels": {"reserved_folded": ["traefik.*"]}},
			{"labels.reserved"},
		],
		"labels that got lost": [
			json.remove(examples.container_create, ["/labels"]),
			{"labels": {"reserved_folded": ["traefik.*"]}},
			{"labels.unreadable"},
		],
		"rules that are not known": [examples.container_create_full, {"labels": null}, {"labels.unreadable"}],
	}
	found := labels.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a label": [examples.container_create_full, _team],
		"a network's": [examples.network_create, _team],
		"nothing asked for": [examples.container_create, {}],
		"what cannot be read where nothing is reserved": [_label({"name": null, "folded": ""}), {}],
		"no reserved label": [examples.container_create_full, {"labels": {"reserved_folded": ["traefik.*"]}}],
		"a list": [examples.container_list, _team],
	}
	found := labels.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_label(changes) := object.union(
	examples.container_create,
	{"labels": [object.union({"name": "app", "folded": "app", "field": "Labels"}, changes)]},
)

_team := {"labels": {"required": {"team": ["blue", "red"]}}}
