package authz_plugin.uploads_test

import data.authz_plugin.uploads

test_the_result_of_a_decision_is_its_verdict if {
	uploads.decision == {"allow": true} with input as {"verdict": "allow"}
	uploads.decision == {"allow": false} with input as {"verdict": "deny"}
}

test_the_result_of_an_outcome_is_its_status if {
	uploads.outcome == {"status": 201} with input as {"status": 201}
	uploads.outcome == {"status": null} with input as {"status": null}
}

test_only_decisions_and_outcomes_are_uploaded if {
	not uploads.drop with input as {"path": "authz_plugin/uploads/decision"}
	uploads.drop with input as {"path": "docker/authz/fleet/about"}
	uploads.drop with input as {"path": ""}
}
