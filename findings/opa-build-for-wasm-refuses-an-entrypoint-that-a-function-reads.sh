#!/bin/sh
# OPA 1.21.1: `opa build` for WebAssembly, or for a plan, refuses a valid policy if an entrypoint is a
# rule that a function of the policy reads.
#
# The policy is valid: `opa check --strict` accepts it, `opa eval` evaluates the rule `roles.mine`,
# and `opa build` makes a bundle of Rego with this entrypoint. With the targets wasm and plan the type
# checker reports the function as "used as reference, not called", although the policy calls it. The
# place in the message is a rule that is not the entrypoint.
#
# Expected: the targets accept the same entrypoints.
# Actual:   status 1 and `rego_type_error: function data.access.permits used as reference, not
#           called`. The entrypoint `access/denied`, which calls this function, is accepted.
#
# Why it matters: a plugin that runs compiled policies in its own process needs every rule that it asks
# for as an entrypoint. A rule that the decision depends on (the caller's role, the settings in force)
# is read by functions of the policy as a matter of course. It must be returned as a part of the
# decision instead, or copied into a rule that nothing reads.
#
# Installs OPA from its Go module into a temporary folder; needs Go. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.1
mkdir "$folder/policy"
cat > "$folder/policy/roles.rego" <<'REGO'
package roles

mine := data.settings.roles[input.user]
REGO
cat > "$folder/policy/access.rego" <<'REGO'
package access

import data.roles

denied contains section if {
	some section in {"containers", "volumes"}
	not permits(section)
}

permits(section) if roles.mine[section] == "read"
REGO
"$folder/opa" version | head -n 1
"$folder/opa" check --strict "$folder/policy"
echo '{"settings": {"roles": {"ann": {"volumes": "read"}}}}' > "$folder/data.json"
echo '{"user": "ann"}' > "$folder/input.json"
for rule in roles.mine access.denied; do
    echo "$rule: $("$folder/opa" eval --format raw --data "$folder/policy" \
        --data "$folder/data.json" --input "$folder/input.json" "data.$rule")"
done
build() {
    status=0
    "$folder/opa" build --target "$1" --entrypoint "$2" --output "$folder/bundle.tar.gz" \
        "$folder/policy" > "$folder/output" 2>&1 || status=$?
    echo "--- $1 $2: status $status"
    sed "s#$folder/##" "$folder/output" | head -n 1
}
results=
for target in rego plan wasm; do
    for entrypoint in access/denied roles/mine; do
        build "$target" "$entrypoint"
        results="$results$status"
    done
done
[ "$results" = 000101 ]
