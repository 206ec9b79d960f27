# METADATA
# title: Paths
# description: |
#   How two clean absolute paths of the host relate to each other. The configuration has the paths
#   with which others are compared also with a slash at the end: what begins so lies inside.
package docker.authz.path

# METADATA
# title: Whether a path is a root or lies below it
# description: |
#   `inside` is the root with a slash at the end. Undefined if the path is elsewhere. A value that is
#   not a string is only below an equal value.
# scope: document
below(path, root, _) if path == root

below(path, _, inside) if {
	is_string(path)
	is_string(inside)
	startswith(path, inside)
}

# METADATA
# title: The places that a path is, lies below or lies above
# description: |
#   `places` are paths with a slash at the end, or beginnings of paths. Empty for a value that is
#   not a string.
# scope: document
default related(_, _) := set()

related(path, places) := _around(inside, places) | _inside(inside, places) if {
	is_string(path)
	inside := concat("", [trim_suffix(path, "/"), "/"])
}

# METADATA
# title: A place as a path
# description: Without the slash at the end, except for the root of the host.
# scope: document
name("/") := "/"

name(place) := trim_suffix(place, "/") if place != "/"

_around(inside, places) := {place | some place in places; startswith(inside, place)}

_inside(inside, places) := {place | some place in places; startswith(place, inside)}
