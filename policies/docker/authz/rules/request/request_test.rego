package docker.authz.rules.request_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.request

test_every_example_is_complete[name] if {
	some name, example in examples
	found := request.denials with input as example
		with data.docker.authz.config as profiles.production
	count(found) == 0
}

test_a_field_that_no_engine_reads_is_denied if {
	found := request.denials with input as _with_unknown
		with data.docker.authz.config as profiles.production
	{[denial.rule, denial.field] | some denial in found} == {["request.unknown-field", "HostConfig.Privileeged"]}
}

test_such_fields_can_be_ignored if {
	found := request.denials with input as _with_unknown
		with data.docker.authz.config as object.union(
			profiles.production,
			{"request": {"unknown_fields": "ignore"}},
		)
	count(found) == 0
}

test_without_configuration_such_fields_are_denied if {
	found := request.denials with input as _with_unknown
		with data.docker.authz.config as json.remove(profiles.production, ["/request"])
	"request.unknown-field" in {denial.rule | some denial in found}
}

test_a_document_that_lacks_a_key_is_denied[name] if {
	some name in [
		"/version", "/phase", "/mounts", "/capabilities", "/namespaces", "/security_options",
		"/body_state", "/body", "/users", "/limits", "/ulimits", "/sysctls", "/tmpfs",
		"/log_drivers", "/images", "/ports", "/endpoints", "/hosts", "/references", "/filters",
		"/request/unknown_fields", "/request/query_authoritative", "/operation/access", "/request",
		"/operation", "/caller", "/caller/user", "/caller/certificates",
	]
	found := request.denials with input as json.remove(examples.container_create_full, [name])
		with data.docker.authz.config as profiles.production
	"request.incomplete" in {denial.rule | some denial in found}
}

test_a_document_that_contradicts_itself_is_denied[name] if {
	some name, changes in {
		"a body where there is none": {"body_state": "none"},
		"a body that nobody sees": {"body_state": "invisible"},
		"no body where there is one": {"body": null},
		"another version": {"version": 2},
		"another phase": {"phase": "response"},
		"a list that is none": {"mounts": {}},
		"a state that is not known": {"body_state": "hidden"},
	}
	found := request.denials with input as object.union(examples.container_create_full, changes)
		with data.docker.authz.config as profiles.production
	"request.incomplete" in {denial.rule | some denial in found}
}

_with_unknown := object.union(
	examples.container_create,
	{"request": {"unknown_fields": ["HostConfig.Privileeged"]}},
)
