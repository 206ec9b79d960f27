package docker.authz.rules.guard_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.guard

test_denied[name] if {
	some name, [request, changes, rules] in {
		"dockerd's settings": [_mount("/etc/docker/daemon.json", null), {}, {"guard.mount"}],
		"a folder above them": [_mount("/etc", null), {}, {"guard.mount"}],
		"everything": [_mount("/", null), {}, {"guard.mount"}],
		"a link to them": [_mount("/workspace/x", "/etc/docker"), {}, {"guard.mount"}],
		"OPA's socket": [_mount("/run/opa-authz-x1/1/opa.sock", null), {}, {"guard.mount"}],
		"the folder that it is in": [_mount("/run", null), {}, {"guard.mount"}],
		"a path that is only known resolved": [
			json.remove(_mount(null, "/etc/docker"), ["/mounts/0/path"]),
			{},
			{"guard.mount"},
		],
		"mounts that are not known": [
			json.remove(examples.container_create_full, ["/mounts"]),
			{},
			{"guard.unreadable"},
		],
		"guarded paths that are not known": [examples.container_create_full, {"guard": null}, {"guard.unreadable"}],
	}
	found := guard.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_only_the_operator_is_told_where_the_guard_lives if {
	found := guard.denials with input as _mount("/etc", null)
		with data.docker.authz.config as profiles.closed
	some denial in found
	denial.message == "a mount of /etc reaches files that guard this host"
	not contains(denial.hint, "/")
	denial.detail == "it reaches /etc/docker, /etc/opa-authz"
}

test_allowed[name] if {
	some name, [request, changes] in {
		"another path": [_mount("/workspace", "/workspace"), {}],
		"a sibling": [_mount("/etc/docker2", "/etc/docker2"), {}],
		"a volume": [examples.container_create_full, {}],
		"what is not guarded any more": [_mount("/etc/docker", null), {"guard": {"places": []}}],
		"a list": [examples.container_list, {}],
		"what a container that is started has already": [
			{"mounts": [object.union(_mount("/etc", null).mounts[0], {"origin": "container"})]},
			{},
		],
	}
	found := guard.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_mount(path, resolved) := object.union(
	examples.container_create_bind,
	{"mounts": [{"type": "bind", "path": path, "resolved": resolved, "field": "f"}]},
)
