package docker.authz.rules.sections_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.sections

test_denied[name] if {
	some name, [request, changes, hint] in {
		"a closed section": [examples.volume_create, _sections("none"), _hint(_both, "")],
		"a write where reading is open": [examples.volume_create, _sections("read"), _hint(_both, "volumes (read)")],
		"an operation that is denied by name": [
			examples.volume_create,
			object.union(_sections("write"), _operation("deny")),
			concat("; ", ["operation volume.create is denied by name", _hint(_by_name, "volumes")]),
		],
		"an operation whose word is not known": [
			examples.volume_create,
			object.union(_sections("write"), _operation("maybe")),
			_hint(_by_name, "volumes"),
		],
		"a section whose word is not known": [examples.volume_create, _sections("admin"), _hint(_both, "")],
		"an access that is not known": [
			object.union(examples.volume_create, {"operation": {"access": "all"}}),
			_sections("write"),
			_hint(_by_name, "volumes"),
		],
		"an operation without an id": [
			json.remove(examples.volume_create, ["/operation/id"]),
			_sections("write"),
			"open sections: volumes",
		],
		"an operation without a section": [
			json.remove(examples.volume_create, ["/operation/section"]),
			_sections("write"),
			_hint(_by_name, "volumes"),
		],
		"an operation without an access": [
			json.remove(examples.volume_create, ["/operation/access"]),
			_sections("write"),
			_hint(_by_name, "volumes"),
		],
	}
	found := sections.denials with input as request
		with data.docker.authz.config as _config(changes)
	{[denial.rule, denial.hint] | some denial in found} == {["sections.operation", hint]}
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a write where writing is open": [examples.volume_create, _sections("write")],
		"a read where writing is open": [examples.container_list, {"sections": {"containers": "write"}}],
		"a read where reading is open": [examples.container_list, {"sections": {"containers": "read"}}],
		"an operation that is allowed by name": [examples.volume_create, _operation("allow")],
	}
	found := sections.denials with input as request
		with data.docker.authz.config as _config(changes)
	count(found) == 0
}

test_without_configuration_nothing_is_open[name] if {
	some name, config in {
		"none": {},
		"no sections": json.remove(profiles.production, ["/sections"]),
		"no operations": json.remove(profiles.production, ["/operations"]),
	}
	found := sections.denials with input as examples.container_list
		with data.docker.authz.config as config
	count(found) == 1
}

_hint(opened_by, sections) := sprintf("opened by %s; open sections: %s", [opened_by, sections])

_both := concat(" or ", ["sections: {volumes: write}", _by_name])

_by_name := "operations: {volume.create: allow}"

_config(changes) := object.union(_closed, changes)

_closed := object.union(
	json.remove(profiles.production, ["/operations"]),
	{
		"operations": {},
		"sections": {name: "none" | some name in object.keys(object.get(profiles.production, "sections", {}))},
	},
)

_sections(access) := {"sections": {"volumes": access}}

_operation(word) := {"operations": {"volume.create": word}}

test_a_hint_names_the_role if {
	config := object.union(_config(_sections("none")), {
		"roles": {"ci": object.union(_config(_sections("none")), {"callers": [{"user": "*"}]})},
		"role_order": ["ci"],
	})
	found := sections.denials with input as examples.volume_create
		with data.docker.authz.config as config
	{denial.hint | some denial in found} == {_hint(concat("", [_both, " of role ci"]), "")}
}
