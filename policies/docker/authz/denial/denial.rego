# METADATA
# title: Denials
# description: The form that all denials have.
package docker.authz.denial

# METADATA
# title: A denial
# description: |
#   `rule` is the rule's id, `field` the part of the request that is denied, `value` the value of
#   that part, `message` what is not allowed, `hint` what would be allowed.
of(rule, field, value, message, hint) := {
	"rule": rule,
	"field": field,
	"value": value,
	"message": message,
	"hint": hint,
}

# METADATA
# title: A denial with a detail for the operator
# description: |
#   The log, the audit file and `explain` show the detail; the client does not get it. It is for what
#   tells where files of the host are.
with_detail(found, detail) := object.union(found, {"detail": detail})

# METADATA
# title: A hint that lists allowed values
# description: The values are sorted. An empty list gives a hint that none is allowed.
# scope: document
allowed(values) := concat("", ["allowed: ", concat(", ", sort(values))]) if count(values) > 0

allowed(values) := "none is allowed" if count(values) == 0

# METADATA
# title: A name for messages
# description: An empty name would not be seen, so its meaning is written beside it.
# scope: document
named(value, meaning) := concat("", [`"" (`, meaning, ")"]) if {
	value == ""
} else := value

# METADATA
# title: A hint that lists allowed names
# description: As `allowed`, with the meaning of an empty name.
allowed_names(values, meaning) := allowed([named(value, meaning) | some value in values])
