# METADATA
# title: Users
# description: |
#   Without user namespaces, root in a container is root on the host once the isolation of the
#   container fails. The uid of an image's own user or of a user name is not part of the request.
package docker.authz.rules.users

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: A container must run as an allowed user
# description: Judges the kind of user (default, root, numeric or named), not the uid.
# custom:
#   id: users.container
#   settings: [users.containers]
#   remedy: Run it with --user and a user of a kind that the denial lists, such as 1000:1000.
#   change: {add: users.containers, from: users.sort}
#   danger:
#     function: not_configured
#     otherwise: your configuration denies such users
#   baseline: {users.containers: []}
#   records: [users]
#   controls: [pod-security Running as non-root, pod-security Running as non-root user, "owasp #2",
#     nist 4.1.2]
denials contains denial.of(
	"users.container", object.get(user, "field", "User"), object.get(user, "name", ""),
	sprintf("containers must not run as %s", [_shown(user)]),
	_hint("containers"),
) if {
	input.operation.access == "write"
	some user in input.users
	not _exec(user)
	not _allowed(user, "containers")
}

# METADATA
# title: An exec must run as an allowed user
# description: An exec without a user runs as the container's user.
# custom:
#   id: users.exec
#   settings: [users.execs]
#   remedy: Use --user with a user of a kind that the denial lists.
#   change: {add: users.execs, from: users.sort}
#   danger:
#     function: not_configured
#     otherwise: your configuration denies such users
#   baseline: {users.execs: []}
#   records: [users]
#   controls: [pod-security Running as non-root, cis 5.24, "owasp #2"]
denials contains denial.of(
	"users.exec", object.get(user, "field", "User"), object.get(user, "name", ""),
	sprintf("execs must not run as %s", [_shown(user)]),
	_hint("execs"),
) if {
	input.operation.access == "write"
	some user in input.users
	_exec(user)
	not _allowed(user, "execs")
}

# METADATA
# title: A container or an exec must run in an allowed group
# description: |
#   Judges the group that is given with the user, as in 1000:0. Mounted files of the host are often
#   accessible to root's group.
# custom:
#   id: users.group
#   settings: [users.groups]
#   remedy: Give a group of a kind that the denial lists, as in --user 1000:1000.
#   change: {add: users.groups, from: users.group}
#   danger:
#     function: not_configured
#     otherwise: your configuration denies such users
#   baseline: {users.groups: []}
#   records: [users]
#   controls: ["owasp #2"]
denials contains denial.of(
	"users.group", object.get(user, "field", "User"), object.get(user, "name", ""),
	sprintf("processes must not run in this group: %s", [object.get(user, "name", "unknown")]),
	_hint("groups"),
) if {
	input.operation.access == "write"
	some user in input.users
	not _group_allowed(user)
}

_exec(user) if user.process == "exec"

_allowed(user, processes) if user.sort in effective.config.users[processes]

_group_allowed(user) if user.group in effective.config.users.groups

_shown(user) := "the default user" if object.get(user, "name", "unknown") == ""

_shown(user) := shown if {
	name := object.get(user, "name", "unknown")
	name != ""
	shown := sprintf("%s (%s)", [name, object.get(user, "sort", "unknown")])
}

_hint(processes) := denial.allowed(effective.list(["users", processes]))
