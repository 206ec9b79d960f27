package docker.authz.journal_test

import data.docker.authz.examples
import data.docker.authz.journal

_denial := {
	"rule": "custom.env",
	"field": "Env[0]",
	"value": "TOKEN=s3cret",
	"message": "TOKEN=s3cret is not allowed",
	"hint": "not s3cret",
}

_event := {
	"input": object.union(examples.container_create, {"body": {"Env": ["TOKEN=s3cret"]}}),
	"result": {"allow": false, "denials": [_denial], "warnings": [_denial]},
}

test_of_the_input_only_what_is_named_stays if {
	removed := {change.path | some change in journal.mask with input as _event; change.op == "remove"}
	kept := {name | some name in object.keys(_event.input); not sprintf("/input/%s", [name]) in removed}
	kept == {"version", "phase", "time", "caller", "operation", "request", "body_state"}
}

test_a_fact_that_is_new_does_not_stay if {
	event := object.union(_event, {"input": {"novelty": "s3cret"}})
	{"op": "remove", "path": "/input/novelty"} in journal.mask with input as event
}

test_of_the_request_only_method_and_version_stay if {
	value := {"method": "POST", "api_version": "1.44"}
	{"op": "upsert", "path": "/input/request", "value": value} in journal.mask with input as _event
}

test_the_operation_stays_without_what_it_names if {
	some change in journal.mask with input as _event
	change.path == "/input/operation"
	change.value.id == "container.create"
	not "resource" in object.keys(change.value)
}

test_of_denials_rule_and_field_stay if {
	changes := {change | some change in journal.mask with input as _event}
	named := [{"rule": "custom.env", "field": "Env[0]"}]
	{"op": "upsert", "path": "/result/denials", "value": named} in changes
	{"op": "upsert", "path": "/result/warnings", "value": named} in changes
}

test_no_secret_is_in_what_takes_its_place if {
	values := [object.get(change, "value", null) | some change in journal.mask with input as _event]
	not contains(json.marshal(values), "s3cret")
}
