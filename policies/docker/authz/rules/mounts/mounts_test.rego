package docker.authz.rules.mounts_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.mounts

test_a_source_is_denied[name] if {
	some name, changes in {
		"a system folder": _at("/usr/share"),
		"a sibling that shares a prefix": _at("/workspace2"),
		"a folder above": _at("/work"),
		"a link that leads elsewhere": {"resolved": "/usr"},
		"a link that nobody can follow": {"resolved": null},
		"a path that is not known": {"path": null, "resolved": null},
		"a relative path": {"path": null, "resolved": "/workspace/app"},
		"a pipe of an unknown type": {"type": "device", "path": "/dev/x", "resolved": "/dev/x"},
	}
	_rules(changes, {}) - {"mounts.type", "mounts.read-only"} == {"mounts.source"}
}

test_a_source_is_allowed[name] if {
	some name, [changes, config] in {
		"a folder below a root": [{}, {}],
		"the root itself": [_at("/workspace"), {}],
		"anything where everything is": [_at("/srv/data"), _everything],
		"a link inside": [{"resolved": "/workspace/other"}, {}],
		"a link elsewhere where links are not followed": [{"resolved": "/usr"}, {"follow_symlinks": false}],
		"a volume": [_volume, {}],
	}
	_rules(changes, config) == set()
}

test_a_root_may_be_a_link_itself if {
	linked := {"allow": [_root("/workspace", {"resolved": "/mnt/disk", "resolved_inside": "/mnt/disk/"})]}
	_rules({"resolved": "/mnt/disk/app"}, linked) == set()
	_rules({"resolved": "/workspace/app"}, linked) == {"mounts.source"}
}

test_read_only[name] if {
	some name, [changes, config, rules] in {
		"writable where reading is allowed": [{}, _read_only, {"mounts.read-only"}],
		"nothing that is said": [{"read_only": null}, _read_only, {"mounts.read-only"}],
		"read-only": [{"read_only": true, "submounts": "none"}, _read_only, set()],
		"read-only, with all that is below": [{"read_only": true, "submounts": "read-only"}, _read_only, set()],
		"read-only, but not what is below": [{"read_only": true}, _read_only, {"mounts.read-only"}],
		"read-only, and nobody knows what is below": [
			{"read_only": true, "submounts": null}, _read_only,
			{"mounts.read-only"},
		],
		"read-only where links are not followed": [
			{"read_only": true},
			object.union(_read_only, {"follow_symlinks": false}), set(),
		],
		"writable by another root": [
			{},
			{"allow": array.concat(_read_only.allow, [_root("/workspace/app", {})])},
			set(),
		],
	}
	_rules(changes, config) == rules
}

test_what_a_container_has_already[name] if {
	some name, [changes, config, rules] in {
		"a folder of a root": [{}, {}, set()],
		"a folder that leads elsewhere now": [{"resolved": "/"}, {}, {"mounts.moved"}],
		"a folder that leads to a protected path": [{"resolved": "/etc/docker"}, {}, {"mounts.moved"}],
		"a folder that nobody can follow": [{"resolved": null}, {}, {"mounts.moved"}],
		"a link that stays inside": [{"resolved": "/workspace/other"}, {}, set()],
		"a path below no root": [_at("/srv"), {}, set()],
		"a protected path, from before": [_at("/var/run/docker.sock"), {}, set()],
		"a volume": [_volume, {}, set()],
		"a volume of another type": [object.union(_volume, {"type": "cluster"}), {}, set()],
		"a volume that binds a folder that leads elsewhere": [
			object.union(_volume, {"type": "bind", "path": "/workspace/app", "resolved": "/"}), {},
			{"mounts.moved"},
		],
		"what is not known": [_unknown, {}, {"mounts.moved"}],
		"what is not known where there are no roots": [_unknown, {"allow": []}, set()],
		"what is not known where links are not followed": [_unknown, {"follow_symlinks": false}, set()],
		"shared propagation": [{"propagation": "rshared"}, {}, set()],
	}
	_rules(object.union({"origin": "container"}, changes), config) == rules
}

test_why_what_a_container_has_is_denied[text] if {
	some text, change in {
		"/workspace/app (a link to /srv) is mounted there and leads elsewhere now": {"resolved": "/srv"},
		"where /workspace/app leads, which is mounted there, is not known": {"resolved": null},
		"what is mounted there is not known: there is no container x": {
			"path": null, "resolved": null,
			"source": "there is no container x",
		},
	}
	mount := object.union_n([_bind, {"origin": "container"}, change])
	found := mounts.denials with input as object.union(examples.container_start, {"mounts": [mount]})
		with data.docker.authz.config as _config({})
	{denial.message | some denial in found} == {text}
}

test_what_a_volume_is_already[name] if {
	some name, [changes, rules] in {
		"a bind of a folder": [{}, set()],
		"a bind that leads elsewhere now": [{"resolved": "/usr"}, {"mounts.moved"}],
		"a bind below no root": [_at("/srv"), set()],
		"a bind of a protected path": [_at("/etc/docker"), {"mounts.protected"}],
		"what is not known": [_unknown, {"mounts.moved"}],
	}
	_rules(object.union({"origin": "volume"}, changes), {}) == rules
}

test_a_mount_of_no_known_origin_is_judged_as_the_request[name] if {
	some name, origin in {"null": null, "another word": "elsewhere"}
	_rules(object.union({"origin": origin}, _at("/usr")), {}) == {"mounts.source"}
}

test_what_one_role_prepared_no_other_starts if {
	request := object.union(
		examples.container_start,
		{"mounts": [object.union(_bind, {"origin": "container", "resolved": "/"})]},
	)
	roles := {"dev": {"callers": [{"user": "dev"}], "mounts": _config({}).mounts}}
	config := object.union(_config({"allow": []}), {"roles": roles, "role_order": ["dev"]})
	found := mounts.denials with input as request with data.docker.authz.config as config
	{denial.rule | some denial in found} == {"mounts.moved"}
}

test_what_leads_out_of_one_s_own_root_is_not_started_for_another_s_wider_root[name] if {
	some name, [resolved, rules] in {
		"in its own root": ["/workspace/ours/b", set()],
		"in the wider root alone": ["/workspace/theirs", {"mounts.moved"}],
	}
	mount := object.union(_bind, {"origin": "container", "path": "/workspace/ours/a", "resolved": resolved})
	allow := [_root("/workspace/ours", {})]
	roles := {"dev": {"callers": [{"user": "dev"}], "mounts": _config({"allow": allow}).mounts}}
	config := object.union(_config({}), {"roles": roles, "role_order": ["dev"]})
	found := mounts.denials with input as object.union(examples.container_start, {"mounts": [mount]})
		with data.docker.authz.config as config
	{denial.rule | some denial in found} == rules
}

test_what_a_role_may_mount_wherever_links_lead_is_started if {
	mount := object.union(_bind, {"origin": "container", "resolved": "/usr"})
	roles := {"dev": {"callers": [{"user": "dev"}], "mounts": _config({"follow_symlinks": false}).mounts}}
	srv := _config({"allow": [_root("/srv", {})]})
	config := object.union(srv, {"roles": roles, "role_order": ["dev"]})
	found := mounts.denials with input as object.union(examples.container_start, {"mounts": [mount]})
		with data.docker.authz.config as config
	count(found) == 0
}

test_a_folder_of_a_root_does_not_lead_to_a_protected_path_in_it[name] if {
	some name, [path, resolved, rules] in {
		"a link to it": ["/workspace/app", "/workspace/secret/a", {"mounts.moved"}],
		"a link above it": ["/workspace/app", "/workspace", {"mounts.moved"}],
		"a link beside it": ["/workspace/app", "/workspace/other", set()],
		"itself, from before": ["/workspace/secret", "/workspace/secret", set()],
	}
	mount := {"origin": "container", "path": path, "resolved": resolved}
	_rules(mount, {"deny_inside": ["/workspace/secret/"]}) == rules
}

test_folders_of_a_writable_root[name] if {
	some name, [request, changes, rules] in {
		"in a container that starts once": [_request({}), {}, set()],
		"in a container that restarts": [_restarting({}), {}, {"mounts.subfolders"}],
		"in one whose policy is not known": [
			json.remove(_request({}), ["/restart"]), {},
			{"mounts.subfolders"},
		],
		"where that is allowed": [_restarting({}), {"subfolders": "allow"}, set()],
		"where that is never allowed": [_request({}), {"subfolders": "deny"}, {"mounts.subfolders"}],
		"where nothing is said": [_request({}), {"subfolders": null}, {"mounts.subfolders"}],
		"the root itself": [_restarting(_at("/workspace")), {"subfolders": "deny"}, set()],
		"a read-only root": [
			_restarting({"read_only": true, "submounts": "none"}),
			object.union(_read_only, {"subfolders": "deny"}), set(),
		],
		"a root whose links are not followed": [_restarting({}), {"follow_symlinks": false}, set()],
		"a link into a root": [
			_restarting({"path": "/link", "resolved": "/workspace/app"}), _everything,
			{"mounts.subfolders"},
		],
		"a volume that binds one": [_restarting({"origin": "volume"}), {}, {"mounts.subfolders"}],
		"a container that has one and is to restart": [
			object.union(examples.container_update, {
				"restart": {"policy": "always"},
				"mounts": [object.union(_bind, {"origin": "container"})],
			}),
			{}, {"mounts.subfolders"},
		],
		"a service": [
			object.union(examples.service_create, {"mounts": [_bind]}), {},
			{"mounts.subfolders"},
		],
	}
	found := mounts.denials with input as request with data.docker.authz.config as _config(changes)
	{denial.rule | some denial in found} == rules
}

test_the_hint_says_what_makes_a_bind_read_only_as_a_whole if {
	found := mounts.denials with input as _request({"read_only": true})
		with data.docker.authz.config as _config(_read_only)
	{denial.hint | some denial in found} == {"add bind-recursive=readonly or bind-recursive=disabled to --mount"}
}

test_a_protected_path_is_denied[name] if {
	some name, changes in {
		"the socket": _at("/var/run/docker.sock"),
		"its folder": _at("/var/run"),
		"the host's root": _at("/"),
		"a folder below": _at("/etc/docker/certs.d"),
		"a link to the socket": {"resolved": "/run/docker.sock"},
		"a volume's device": object.union(_volume, {"path": "/run/docker.sock"}),
	}
	"mounts.protected" in _rules(changes, _everything)
}

test_what_is_not_protected_is_allowed[name] if {
	some name, changes in {
		"a sibling that shares a prefix": _at("/var/run/docker.sock2"),
		"another folder": _at("/srv"),
		"no path at all": _volume,
	}
	_rules(changes, _everything) == set()
}

test_a_type_is_denied[name] if {
	some name, changes in {
		"a cluster volume": {"type": "cluster"},
		"a named pipe": {"type": "npipe"},
		"a type that is not said": {"type": null},
	}
	"mounts.type" in _rules(changes, {})
}

test_propagation[name] if {
	some name, [word, rules] in {
		"as the engine has it": ["", set()],
		"private": ["rprivate", set()],
		"shared with the host": ["rshared", {"mounts.propagation"}],
		"a word that nobody knows": ["x", {"mounts.propagation"}],
		"nothing that is said": [null, {"mounts.propagation"}],
	}
	_rules({"propagation": word}, {}) == rules
}

test_volumes_of_another_container[name] if {
	some name, [request, changes, rules] in {
		"some": [_from(["web"]), {}, {"mounts.volumes-from"}],
		"nothing that is said": [
			json.remove(examples.container_create, ["/body/HostConfig/VolumesFrom"]),
			{}, {"mounts.volumes-from"},
		],
		"some where that is allowed": [_from(["web"]), {"volumes_from": true}, set()],
		"none": [examples.container_create, {}, set()],
		"another operation": [examples.container_list, {}, set()],
	}
	found := mounts.denials with input as request
		with data.docker.authz.config as _config(changes)
	{denial.rule | some denial in found} == rules
}

test_mounts_that_cannot_be_read_are_denied[name] if {
	some name, request in {
		"none": json.remove(examples.container_create, ["/mounts"]),
		"an object": object.union(examples.container_create, {"mounts": {"x": 1}}),
	}
	found := mounts.denials with input as request
		with data.docker.authz.config as _config({})
	"mounts.unreadable" in {denial.rule | some denial in found}
}

test_a_mount_of_nothing_is_denied if {
	found := mounts.denials with input as object.union(examples.container_create, {"mounts": [{}]})
		with data.docker.authz.config as _config({})
	rules := {denial.rule | some denial in found}
	rules == {"mounts.source", "mounts.type", "mounts.propagation"}
}

test_without_configuration_nothing_is_allowed if {
	found := mounts.denials with input as _request({})
		with data.docker.authz.config as {}
	{"mounts.source", "mounts.type"} - {denial.rule | some denial in found} == set()
}

test_a_message_says_where_a_link_leads if {
	found := mounts.denials with input as _request({"resolved": "/srv/data"})
		with data.docker.authz.config as _config(_read_only)
	{[denial.message, denial.hint] | some denial in found} == {[
		"bind mount of /workspace/app (a link to /srv/data) is not allowed",
		"allowed: /workspace (read-only)",
	]}
}

test_a_message_says_what_was_written_where_that_is_no_path if {
	found := mounts.denials with input as _request({"path": null, "resolved": null, "source": "app"})
		with data.docker.authz.config as _config({})
	{denial.message | some denial in found} == {"bind mount of app is not allowed"}
}

_rules(changes, config) := {denial.rule | some denial in found} if {
	found := mounts.denials with input as _request(changes)
		with data.docker.authz.config as _config(config)
}

_config(changes) := object.union(
	profiles.production,
	{"mounts": object.union(
		{"allow": [_root("/workspace", {})]},
		changes,
	)},
)

_root(path, changes) := object.union(
	{
		"path": path,
		"inside": sprintf("%s/", [path]),
		"resolved": path,
		"resolved_inside": sprintf("%s/", [path]),
		"read_only": false,
	},
	changes,
)

_read_only := {"allow": [_root("/workspace", {"read_only": true})]}

_everything := {"allow": [_root("/", {"inside": "/", "resolved_inside": "/"})]}

_request(changes) := object.union(examples.container_create, {"mounts": [object.union(_bind, changes)]})

_bind := {
	"type": "bind",
	"source": "/workspace/app",
	"path": "/workspace/app",
	"resolved": "/workspace/app",
	"exists": true,
	"target": "/app",
	"read_only": false,
	"submounts": "writable",
	"propagation": "",
	"driver": "",
	"options": {},
	"origin": "request",
	"field": "HostConfig.Binds[0]",
}

_restarting(changes) := object.union(
	_request(changes),
	{"restart": {"policy": "unless-stopped"}},
)

_unknown := {"type": "unknown", "path": null, "resolved": null}

_at(path) := {"source": path, "path": path, "resolved": path}

_volume := {"type": "volume", "source": "data", "path": null, "resolved": null, "exists": false}

_from(containers) := object.union(
	examples.container_create,
	{"body": {"HostConfig": {"VolumesFrom": containers}}},
)

test_a_denial_does_not_tell_where_the_guard_lives[name] if {
	some name, [changes, rule, message] in {
		"a folder above it and above others": [
			_at("/var/run"),
			"mounts.protected",
			"bind mount of /var/run reaches /var/run/cdi, /var/run/docker.sock, /var/run/nri",
		],
		"a folder above it alone": [
			_at("/etc/docker"),
			"mounts.protected",
			"bind mount of /etc/docker reaches protected paths",
		],
		"a link to it": [
			object.union(_at("/workspace/x"), {"resolved": "/etc/opa-authz/rules"}),
			"mounts.source",
			"bind mount of /workspace/x (a link) is not allowed",
		],
		"a link to a folder above it": [
			object.union(_at("/workspace/x"), {"resolved": "/etc"}),
			"mounts.source",
			"bind mount of /workspace/x (a link) is not allowed",
		],
		"a link to something else": [
			object.union(_at("/workspace/x"), {"resolved": "/srv/app"}),
			"mounts.source",
			"bind mount of /workspace/x (a link to /srv/app) is not allowed",
		],
	}
	found := mounts.denials with input as _request(changes)
		with data.docker.authz.config as profiles.closed
	message in {denial.message | some denial in found; denial.rule == rule}
}

test_the_operator_is_told_every_protected_path if {
	found := mounts.denials with input as _request(_at("/etc"))
		with data.docker.authz.config as profiles.closed
	{denial.detail | some denial in found} == {"/etc reaches /etc/cdi, /etc/docker"}
}
