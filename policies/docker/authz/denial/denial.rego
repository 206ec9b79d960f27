# METADATA
# title: Denials
# description: The one shape of a no.
package docker.authz.denial

# METADATA
# title: A denial
# description: |
#   `rule` is the rule's id, `field` the part of the request it is about, `value` what stands
#   there, `message` what is not allowed, `hint` what would be.
of(rule, field, value, message, hint) := {
	"rule": rule,
	"field": field,
	"value": value,
	"message": message,
	"hint": hint,
}

# METADATA
# title: What would be allowed
# description: A hint that lists allowed values.
# scope: document
allowed(values) := sprintf("allowed: %s", [concat(", ", sort(values))]) if count(values) > 0

allowed(values) := "none is allowed" if count(values) == 0
