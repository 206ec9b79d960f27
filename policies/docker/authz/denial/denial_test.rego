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

test_a_hint_says_that_nothing_is_allowed if denial.allowed([]) == "none is allowed"
