# METADATA
# title: Uploads
# description: >-
#   What the OPA that fetches the policy of a fleet sends to a service as its decision log. The plugin
#   asks it once for each decision and each outcome, with the record as input.
package authz_plugin.uploads

# METADATA
# title: The verdict of a decision
# description: The result in the event of a decision that the plugin has made.
decision := {"allow": input.verdict == "allow"}

# METADATA
# title: The status of an outcome
# description: The result in the event of a request that has ended.
outcome := {"status": input.status}

# METADATA
# title: Other questions are not uploaded
# description: >-
#   `drop_decision` of OPA, with an event as input. The plugin also asks this OPA for the policy that
#   it has fetched.
drop if not startswith(input.path, "authz_plugin/uploads/")
