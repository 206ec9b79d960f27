package docker.authz.effective_test

import data.docker.authz.examples
import data.docker.authz.profiles

import data.docker.authz.effective

test_role[name] if {
	some name, [caller, role] in {
		"a user": [_caller("ci-1", {}), "ci"],
		"a user of another role": [_caller("traefik", {}), "proxy"],
		"a user of two roles has the first": [_caller("ci-admin", {}), "ci"],
		"an organization": [_caller("x", {"subject": {"O": ["other", "build"]}}), "ci"],
		"an organizational unit alone is not enough": [_caller("x", {"subject": {"OU": ["east"]}}), ""],
		"a unit and a name": [_caller("x", {"subject": {"OU": ["east"]}, "sans": ["a.example"]}), "east"],
		"a name without the unit": [_caller("x", {"sans": ["a.example"]}), ""],
		"a common name": [_caller("x", {"subject": {"CN": "deploy"}}), "deploy"],
		"a fingerprint": [_caller("x", {"sha256": "00ff"}), "pinned"],
		"another fingerprint": [_caller("x", {"sha256": "00fe"}), ""],
		"a stranger": [_caller("x", {}), ""],
		"nobody": [{"user": "", "method": "", "certificates": []}, "local"],
		"a certificate without a name": [_caller("", {}), ""],
		"a user that looks like a pattern": [_caller("*", {}), ""],
	}
	role == effective.role with input as object.union(examples.ping, {"caller": caller})
		with data.docker.authz.config as _config
}

test_a_role_has_its_own_configuration if {
	effective.config.profile == "closed" with input as object.union(examples.ping, {"caller": _caller("traefik", {})})
		with data.docker.authz.config as _config
}

test_a_stranger_has_the_configuration_for_everybody if {
	effective.config.profile == "production" with input as object.union(examples.ping, {"caller": _caller("x", {})})
		with data.docker.authz.config as _config
}

test_nobody_is_a_stranger_without_default_role if {
	effective.role == "" with input as examples.ping
		with data.docker.authz.config as object.union(_config, {"default_role": null})
}

test_a_caller_that_is_not_known_is_not_nobody if {
	effective.role == "" with input as json.remove(examples.ping, ["/caller"])
		with data.docker.authz.config as _config
}

test_there_is_no_configuration_where_any_of_it_is_lost[name] if {
	some name, config in {
		"roles": object.remove(_config, ["roles"]),
		"their order": object.remove(_config, ["role_order"]),
		"the default role": object.remove(_config, ["default_role"]),
	}
	caller := _caller("x", {})
	not effective.config with input as object.union(examples.ping, {"caller": caller})
		with data.docker.authz.config as config
}

test_there_is_no_configuration_for_a_lost_role if {
	not effective.config with input as object.union(examples.ping, {"caller": _caller("ci-1", {})})
		with data.docker.authz.config as json.remove(_config, ["/roles/ci/callers"])
		with effective.role as "gone"
}

_config := object.union(profiles.production, {
	"role_order": ["ci", "proxy", "admin", "east", "deploy", "pinned", "local"],
	"default_role": "local",
	"roles": {
		"ci": _role([{"user": "ci-*"}, {"certificate": {"O": "build"}}]),
		"proxy": _role([{"user": "traefik"}]),
		"admin": _role([{"user": "*-admin"}]),
		"east": _role([{"certificate": {"OU": "east", "SAN": "*.example"}}]),
		"deploy": _role([{"certificate": {"CN": "deploy"}}]),
		"pinned": _role([{"user": "x", "certificate": {"sha256": "00ff"}}, {}]),
		"local": _role([]),
	},
})

_role(callers) := object.union(profiles.closed, {"callers": callers})

_caller(user, certificate) := {
	"user": user,
	"method": "TLS",
	"certificates": [object.union(
		{
			"subject": {"CN": user, "O": [], "OU": []},
			"sans": [],
			"sha256": "",
			"not_after": "2027-01-01T00:00:00+00:00",
		},
		certificate,
	)],
}
