#!/bin/sh
# OPA 1.21.1: a policy whose tests all pass can return an error if a client queries it with strict
# builtin errors, and `opa test` has no option to detect that.
#
# `startswith` of null is a builtin error. Without strict builtin errors, the error makes the call
# undefined, so a test of `not below(…)` passes because of the error and not because of the rule.
# `opa eval` and the REST API support strict builtin errors; `opa test` does not
# (https://github.com/open-policy-agent/opa/issues/6816 is about how it reports such errors).
#
# Expected: an option of `opa test` like `--strict-builtin-errors` of `opa eval`, so that tests
#           evaluate policies as production does.
# Actual:   `opa test` passes; `opa eval --strict-builtin-errors` and
#           `POST /v1/data/...?strict-builtin-errors=true` return `eval_type_error`, status 500.
#
# Why it matters: an authorization plugin must query with strict builtin errors, because otherwise a
# request is allowed if a denial cannot be computed. Then a rule with passing tests and full coverage
# denies ordinary requests: here those with a mount that has no path. Test decisions over the REST API
# as well, as tests/test_policy_library.py does.
#
# Installs OPA from its Go module into a temporary folder; needs Go and curl. Fails if the behaviour
# changes.
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.1
mkdir "$folder/policy"
cat > "$folder/policy/paths.rego" <<'REGO'
package paths

below(path, root) if startswith(path, concat("", [root, "/"]))

answer := {"allowed": [mount | some mount in input.mounts; below(mount.path, "/srv")]}
REGO
cat > "$folder/policy/paths_test.rego" <<'REGO'
package paths_test

import data.paths

test_below if paths.below("/srv/shop", "/srv")

test_what_has_no_path_is_not_below if {
	not paths.below(input.path, "/srv") with input as {"path": null}
}

test_mounts_without_a_path_are_left_out if {
	answer := paths.answer with input as {"mounts": [{"path": "/srv/shop"}, {"path": null}]}
	answer == {"allowed": [{"path": "/srv/shop"}]}
}
REGO
"$folder/opa" version | head -n 1
echo "--- opa test, with coverage"
"$folder/opa" test "$folder/policy"
"$folder/opa" test --coverage --threshold 100 --format json "$folder/policy" > /dev/null
options=$("$folder/opa" test --help | grep -c 'strict-builtin-errors' || true)
echo "options of opa test for strict builtin errors: $options"
"$folder/opa" run --server --addr "unix://$folder/opa.sock" --log-level error "$folder/policy" &
server=$!
waited=0
until curl -sf --unix-socket "$folder/opa.sock" http://opa/health > /dev/null; do
    waited=$((waited + 1))
    [ "$waited" -lt 100 ]
    sleep 0.1
done
ask() {
    curl -s -o "$folder/answer" -w '%{http_code}' --unix-socket "$folder/opa.sock" \
        -d '{"input": {"mounts": [{"path": "/srv/shop"}, {"path": null}]}}' \
        "http://opa/v1/data/paths/answer$1"
}
echo "--- the same input over the REST API"
lenient=$(ask '')
echo "status $lenient: $(tr -d '\n ' < "$folder/answer")"
strict=$(ask '?strict-builtin-errors=true')
echo "status $strict: $(tr -d '\n ' < "$folder/answer" | cut -c1-160)"
[ "$options" -eq 0 ] && [ "$lenient" = 200 ] && [ "$strict" = 500 ]
