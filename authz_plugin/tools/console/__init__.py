"""``opa-authz console``: a local web page with decisions, their reasons and the policy."""
