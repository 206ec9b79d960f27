# METADATA
# title: OPA's decision log
# description: |
#   What OPA may write down of a decision when its own log is on: who, which operation, which rules.
#   The plugin's log has the rest, under the same decision id. The input here is an event of that
#   log, not a request.
# schemas:
#   - input: {type: object}
package docker.authz.journal

# METADATA
# title: What is taken out of an event
# description: |
#   All of the input document that is not named here, so that a fact which is added to it stays out
#   of the log until somebody lets it in; and of denials everything but rule and field.
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
