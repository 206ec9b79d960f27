package docker.authz.denial_test

import data.docker.authz.denial

test_a_denial_has_one_shape if {
	denial.of("a.b", "f", 1, "no", "yes") == {
		"rule": "a.b",
		"field": "f",
		"value": 1,
		"message": "no",
		"hint": "yes",
	}
}

test_a_detail_is_added if {
	denial.with_detail(denial.of("a.b", "f", 1, "no", "yes"), "at /etc") == {
		"rule": "a.b",
		"field": "f",
		"value": 1,
		"message": "no",
		"hint": "yes",
		"detail": "at /etc",
	}
}

test_a_hint_lists_what_is_allowed_in_order if denial.allowed(["b", "a"]) == "allowed: a, b"

test_an_empty_name_is_seen if denial.named("", "dockerd's default") == `"" (dockerd's default)`

test_any_other_name_is_itself[value] if {
	some value in ["bridge", null, 1]
	denial.named(value, "dockerd's default") == value
}

test_a_hint_names_what_is_empty if {
	denial.allowed_names(["local", ""], "dockerd's default") == `allowed: "" (dockerd's default), local`
}

test_a_hint_without_names_says_that_nothing_is_allowed if {
	denial.allowed_names([], "dockerd's default") == "none is allowed"
}

test_a_hint_says_that_nothing_is_allowed if denial.allowed([]) == "none is allowed"
