# METADATA
# title: Paths
# description: How two clean absolute paths of the host relate to each other.
package docker.authz.path

# METADATA
# title: Whether a path is a root or lies below it
# description: |
#   Undefined where it does not. Of values that are no texts, only equal ones are below each other.
# scope: document
below(path, root) if path == root

below(path, root) if startswith(path, _inside(root))

# METADATA
# title: Whether one of two paths is the other or lies below it
# description: Undefined where neither does.
# scope: document
related(path, other) if below(path, other)

related(path, other) if startswith(other, _inside(path))

# A function of one argument: OPA computes it once a decision for each path.
_inside(path) := concat("", [trim_suffix(path, "/"), "/"])
