# METADATA
# title: Patterns
# description: Texts of the configuration in which * stands for any text.
package docker.authz.pattern

# METADATA
# title: Whether a value fits one of the patterns
# description: Undefined where it does not, or where there are no patterns or no value.
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
