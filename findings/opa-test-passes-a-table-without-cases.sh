#!/bin/sh
# OPA 1.21.1: `opa test` reports PASS for a data-driven test without any case.
#
# A test that takes its cases from a table (`test_x[name] if { some name, value in {...} }`, what OPA
# calls sub-tests) is reported case by case. If one value of the table is undefined, for example
# because a data file is not loaded or a key is misspelt, the whole table is undefined and has no
# case.
#
# Expected: a failure, or at least no PASS: without a case nothing was tested, and a test without a
#           table fails if a reference in it is undefined.
# Actual:   PASS: 1/1 and exit status 0, although the same test fails if the data is loaded.
#
# Why it matters: the tests of a security policy pass if the file with their cases is missing from the
# command line. Assert on the number of cases as well, or load tests and data as one bundle
# (`opa test --bundle`), as `make rego` does.
#
# Installs OPA from its Go module into a temporary folder; needs Go. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.1
mkdir "$folder/policy" "$folder/policy/cases"
cat > "$folder/policy/p.rego" <<'REGO'
package p

allow if input.user == "root"
REGO
cat > "$folder/policy/p_test.rego" <<'REGO'
package p_test

import data.cases
import data.p

test_allowed[name] if {
	some name, user in {"root": cases.root, "guest": cases.guest}
	p.allow with input as {"user": user}
}
REGO
"$folder/opa" version | head -n 1
echo "--- without the data that the table names"
without=0
"$folder/opa" test "$folder/policy" || without=$?
echo "exit status $without"
echo '{"root": "root", "guest": "guest"}' > "$folder/policy/cases/data.json"
echo "--- with it"
with=0
"$folder/opa" test "$folder/policy" || with=$?
echo "exit status $with"
[ "$without" -eq 0 ] && [ "$with" -ne 0 ]
