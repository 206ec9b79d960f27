# METADATA
# title: Paths
# description: How two clean absolute paths of the host relate to each other.
package docker.authz.path

# METADATA
# title: Whether a path is a root or lies below it
# description: |
#   Undefined if it does not. A value that is not a string is only below an equal value.
# scope: document
below(path, root) if path == root

below(path, root) if {
	is_string(path)
	startswith(path, _with_slash(root))
}

# METADATA
# title: Whether one of two paths is the other or lies below it
# description: Undefined if neither does.
# scope: document
related(path, other) if below(path, other)

related(path, other) if {
	is_string(other)
	startswith(other, _with_slash(path))
}

# A function of one argument, so that OPA computes it once for each path in a decision. The plugin
# queries OPA with strict builtin errors, so a value that is not a string must not reach a builtin.
_with_slash(path) := concat("", [trim_suffix(path, "/"), "/"]) if is_string(path)
