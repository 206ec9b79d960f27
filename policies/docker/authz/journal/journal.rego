# METADATA
# title: OPA's decision log
# description: |
#   What OPA may write to its decision log, if that log is on: the caller, the operation and the
#   rules. The plugin's log has the rest, under the same decision id. The input of this package is
#   an event of the decision log, not a request.
# schemas:
#   - input: {type: object}
package docker.authz.journal

# METADATA
# title: What is removed from an event
# description: |
#   Every key of the input document that is not listed here, so that a new fact is not logged until
#   it is listed; and of each denial everything except rule and field.
# scope: document
mask contains {"op": "remove", "path": sprintf("/input/%s", [name])} if {
	some name in (object.keys(input.input) - _kept)
}

mask contains {"op": "upsert", "path": sprintf("/input/%s", [name]), "value": value} if {
	some name, fields in _parts
	value := object.filter(object.get(input.input, name, {}), fields)
}

mask contains {"op": "upsert", "path": sprintf("/result/%s", [name]), "value": named} if {
	some name in {"denials", "warnings"}
	named := [object.filter(denial, ["rule", "field"]) |
		some denial in object.get(input, ["result", name], [])
	]
}

_kept := {"version", "phase", "time", "caller", "operation", "request", "body_state"}

_parts := {
	"operation": ["id", "section", "access"],
	"request": ["method", "api_version"],
}
