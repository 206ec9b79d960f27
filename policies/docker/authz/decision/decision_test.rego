package docker.authz.decision_test

import data.docker.authz.examples
import data.docker.authz.profiles

test_what_no_rule_denies_is_allowed if {
	decision := _decide(examples.container_create, {})
	decision.allow
	decision.denials == set()
	decision.warnings == set()
	decision.profile == "production"
	decision.role == ""
	decision.policy_revision == "r1"
}

test_one_denial_denies if {
	decision := _decide(_privileged, {})
	not decision.allow
	{denial.rule | some denial in decision.denials} == {"privileged.container"}
}

test_packages_answer_to_whatever_is_asked if {
	{"guard", "images", "mounts", "tenancy"} - _decide(examples.ping, {}).evaluated == set()
}

test_rules_of_the_operators_are_asked_like_ours if {
	_decide_with(examples.container_create, {}, ["mounts", "custom_mine"]).denials != set()
}

test_an_input_without_an_operation_is_not_allowed_even_if_no_rule_denies_it[patch] if {
	some patch in [
		{"op": "remove", "path": "/operation"},
		{"op": "remove", "path": "/operation/id"},
		{"op": "replace", "path": "/operation/id", "value": ""},
	]
	ping := json.patch(examples.ping, [patch])
	decision := _decide_with(ping, {}, ["mounts"]) with data.docker.authz.rules as _silent_rules
	count(decision.denials) == 0
	not decision.allow
}

_silent_rules := {"mounts": {"denials": set()}}

test_a_package_that_does_not_answer_denies if {
	decision := _decide_with(examples.container_create, {}, ["mounts", "lost"])
	not decision.allow
	{denial.value | some denial in decision.denials; denial.rule == "request.policy"} == {"lost"}
}

test_an_answer_that_is_no_set_denies[answer] if {
	some answer in [true, false, null, "no", ["no"], {"rule": "custom.x"}]
	decision := _decide_with(examples.container_list, {}, ["mounts"]) with data.docker.authz.rules.mounts.denials as answer
	not decision.allow
	{denial.value | some denial in decision.denials; denial.rule == "request.policy"} == {"mounts"}
}

test_a_decision_is_repeatable_unless_it_may_depend_on_the_time[name] if {
	exception := {"rule": "privileged.container", "until": "2099-12-31T00:00:00Z"}
	some name, [request, changes, about, repeatable] in {
		"nothing depends on it": [examples.container_create, {}, {"packages": ["mounts"]}, true],
		"an exception": [_privileged, {"exceptions": [exception]}, {"packages": ["mounts"]}, false],
		"own rules": [examples.container_create, {}, {"packages": ["custom_own"]}, false],
		"own rules that do not depend on it": [
			examples.container_create, {},
			{"packages": ["custom_own"], "timeless": ["custom_own"]}, true,
		],
		"own rules of which some may": [
			examples.container_create, {},
			{"packages": ["custom_own", "custom_other"], "timeless": ["custom_own"]}, false,
		],
	}
	decision := data.docker.authz.decision with input as request
		with data.docker.authz.config as object.union(profiles.production, changes)
		with data.docker.authz.bundle as object.union({"revision": "r1"}, about)
	decision.repeatable == repeatable
}

test_warn_mode[name] if {
	some name, [changes, allow, denials, warnings] in {
		"enforced": [{}, false, _both, set()],
		"everything": [{"mode": "warn"}, true, set(), _both],
		"one rule": [{"rules": {"privileged.container": "warn"}}, false, {"namespaces.host"}, {"privileged.container"}],
		"everything but one rule": [
			{"mode": "warn", "rules": {"namespaces.host": "enforce"}},
			false, {"namespaces.host"}, {"privileged.container"},
		],
		"for another role": [_with_role({"mode": "warn"}, "other"), false, _both, set()],
		"for the caller's role": [_with_role({"mode": "warn"}, "ci"), true, set(), _both],
		"for everybody but the caller's role": [
			object.union(_with_role({}, "ci"), {"mode": "warn"}),
			false, _both, set(),
		],
	}
	decision := _decide(_twice_denied, changes)
	decision.allow == allow
	{denial.rule | some denial in decision.denials} == denials
	{denial.rule | some denial in decision.warnings} == warnings
}

test_an_exception_allows[name] if {
	some name, changes in {
		"by value and image": {},
		"by field": {"field": "HostConfig.Privileged"},
		"for any version of an image": {"when": {"image": "registry.example/app"}},
		"for a pattern of images": {"when": {"image": "registry.example/*"}},
		"for a role": {"when": {"role": "ci"}},
	}
	exception := object.union(_without(changes), changes)
	_decide(_privileged, object.union(_with_role({}, "ci"), {"exceptions": [exception]})).allow
}

test_an_exception_does_not_allow[name] if {
	some name, changes in {
		"another rule": {"rule": "namespaces.host"},
		"another value": {"value": "x"},
		"another field": {"field": "HostConfig.PidMode"},
		"another image": {"when": {"image": "registry.example/other"}},
		"another version": {"when": {"image": "registry.example/app:2"}},
		"another role": {"when": {"role": "admin"}},
		"another role's image": {"when": {"role": "admin", "image": "registry.example/app"}},
		"after its end": {"until": "2026-01-02T03:04:05+00:00"},
	}
	exception := object.union(_without(changes), changes)
	decision := _decide(_privileged, object.union(_with_role({}, "ci"), {"exceptions": [exception]}))
	not decision.allow
	{denial.rule | some denial in decision.denials} == {"privileged.container"}
}

test_an_exception_for_an_image_does_not_hold_for_what_may_be_another[name] if {
	some name, change in {
		"a reference that may be an id": {"may_be_id": true},
		"an image that is only mounted": {"action": "mount"},
	}
	images := [object.union(image, change) | some image in _privileged.images]
	not _decide(object.union(_privileged, {"images": images}), {"exceptions": [_exception]}).allow
}

test_an_exception_holds_until_its_end if {
	exception := object.union(_exception, {"until": "2026-01-02T03:04:05.001+00:00"})
	_decide(_privileged, {"exceptions": [exception]}).allow
}

test_an_exception_does_not_hold_at_a_time_that_cannot_be_read[name] if {
	some name, moment in {
		"no time": "",
		"a word": "now",
		"another form": "2026-01-02 03:04:05",
		"an early year": "0001-01-01T00:00:00Z",
		"more than a time": "2026-01-02T03:04:05Z\n",
	}
	not _decide(object.union(_privileged, {"time": moment}), {"exceptions": [_exception]}).allow
}

test_an_exception_is_for_one_denial_alone if {
	decision := _decide(_twice_denied, {"exceptions": [_exception]})
	not decision.allow
	{denial.rule | some denial in decision.denials} == {"namespaces.host"}
}

test_the_end_of_an_exception_is_warned_about if {
	exception := object.union(_exception, {"warn_from": "2026-01-01T00:00:00+00:00"})
	decision := _decide(_privileged, {"exceptions": [exception]})
	decision.allow
	{[warning.rule, warning.message] | some warning in decision.warnings} == {[
		"exceptions.expiring",
		"privileged.container denies this after 2026-06-30",
	]}
}

test_the_exceptions_that_allow_are_named if {
	decision := _decide(_privileged, {"exceptions": [_exception]})
	decision.exceptions == {{
		"rule": "privileged.container",
		"field": "HostConfig.Privileged",
		"expires": "2026-06-30",
		"reason": "a test",
	}}
}

test_an_exception_that_is_not_needed_is_not_named[name] if {
	some name, [request, changes] in {
		"nothing denies": [examples.container_create, {}],
		"the rule only warns": [_privileged, {"mode": "warn"}],
	}
	_decide(request, object.union(changes, {"exceptions": [_exception]})).exceptions == set()
}

test_an_exception_that_is_not_needed_is_not_warned_about if {
	exception := object.union(_exception, {"warn_from": "2026-01-01T00:00:00+00:00"})
	_decide(examples.container_create, {"exceptions": [exception]}).warnings == set()
}

test_an_exception_and_warn_mode_together if {
	decision := _decide(_twice_denied, {"mode": "warn", "exceptions": [_exception]})
	decision.allow
	{warning.rule | some warning in decision.warnings} == _both
}

_both := {"privileged.container", "namespaces.host"}

_privileged := object.union(examples.container_create, {
	"body": {"HostConfig": {"Privileged": true}},
	"caller": {"user": "ci-1", "method": "TLS", "certificates": [_certificate]},
})

_twice_denied := object.union(_privileged, {"namespaces": [{
	"type": "pid",
	"mode": "host",
	"container": null,
	"field": "HostConfig.PidMode",
}]})

_certificate := {
	"subject": {"CN": "ci-1", "O": [], "OU": []},
	"sans": [],
	"sha256": "",
	"not_after": "2027-01-01T00:00:00+00:00",
}

_exception := {
	"rule": "privileged.container",
	"value": true,
	"when": {"image": "registry.example/app:1"},
	"expires": "2026-06-30",
	"reason": "a test",
	"until": "2026-07-01T00:00:00+00:00",
	"warn_from": "2026-06-17T00:00:00+00:00",
}

_without(changes) := object.remove(_exception, object.keys(changes))

_with_role(changes, name) := {
	"role_order": [name],
	"roles": {name: object.union_n([profiles.production, {"callers": _callers[name]}, changes])},
}

_callers := {"ci": [{"user": "ci-*"}], "other": [{"user": "other"}]}

_decide(request, changes) := _decide_with(request, changes, [])

_decide_with(request, changes, packages) := decision if {
	config := object.union(profiles.production, changes)
	about := {"revision": "r1", "packages": packages}

	decision := data.docker.authz.decision with input as request
		with data.docker.authz.config as config
		with data.docker.authz.bundle as about
}
