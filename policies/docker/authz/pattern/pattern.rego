# METADATA
# title: Patterns
# description: Strings of the configuration in which * matches any text.
package docker.authz.pattern

# METADATA
# title: Whether a value matches one of the patterns
# description: Undefined if it matches none, or if the patterns or the value are missing.
# scope: document
fits(patterns, value) if {
	"*" in patterns
	is_string(value)
}

fits(patterns, value) if value in patterns

fits(patterns, value) if {
	some pattern in patterns
	contains(pattern, "*")
	glob.match(pattern, null, value)
}
