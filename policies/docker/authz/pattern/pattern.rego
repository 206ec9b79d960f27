# METADATA
# title: Patterns
# description: Strings of the configuration in which * matches any text.
package docker.authz.pattern

# METADATA
# title: Whether a value matches one of the patterns
# description: |
#   Undefined if it matches none, if the patterns or the value are missing, or if the value is no
#   text. To look a value up comes first: it is all that most requests need.
# scope: document
fits(patterns, value) if {
	value in patterns
} else if {
	"*" in patterns
	is_string(value)
} else if {
	is_string(value)
	some pattern in patterns
	contains(pattern, "*")
	_matches(pattern, value)
}

# Most patterns are a beginning and *. To compare beginnings is much cheaper than a glob.
_matches(pattern, value) if {
	beginning := _beginning(pattern)
	startswith(value, beginning)
} else if {
	not _beginning(pattern)
	glob.match(pattern, null, value)
}

_beginning(pattern) := beginning if {
	endswith(pattern, "*")
	beginning := trim_suffix(pattern, "*")
	not contains(beginning, "*")
	not contains(beginning, "?")
}
