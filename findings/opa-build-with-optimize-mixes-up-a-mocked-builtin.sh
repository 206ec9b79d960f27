#!/bin/sh
# OPA 1.22.3: with `opa build --optimize 1`, a `with` that replaces a builtin in one rule takes effect for
# all rules, or for none.
#
# A policy may ask what would hold at another time: `open if ... with time.now_ns as 0`. The optimizer
# makes one new rule of each rule that another reads, at the place where it first meets it, and uses it for
# the later places as well. It does not consider that a builtin is replaced at one of them, and drops the
# `with` itself. A `with` on the input is kept.
#
# Expected: the same decisions with and without --optimize.
# Actual:   access ended in 2020, and the policy denies it without --optimize and with --optimize 2. With
#           --optimize 1 it denies nothing if the rule with `with` stands first: the rule that compares the
#           times became constant. If it stands last, its `with` has no effect: it adds a denial.
#           The build reports nothing.
#
# Why it matters: a rule that only warns ahead of an end, or that checks the times themselves, changes what
# other rules decide, and which way depends on the order of the rules in the file. The tests of the policy
# pass, because `opa test` runs it as it was written. Give the time to a function as its argument instead
# of replacing the builtin, or build without --optimize.
#
# Installs OPA from its Go module into a temporary folder; needs Go. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.22.3
cd "$folder"
mkdir first last
cat > rules.rego <<'REGO'
package access

begins := time.parse_rfc3339_ns("2019-01-01T00:00:00Z")

ends := time.parse_rfc3339_ns("2020-01-01T00:00:00Z")

open if {
	begins <= now
	now < ends
}

now := time.now_ns()

open_at_the_beginning if open with time.now_ns as begins
REGO
over='denials contains "access is over" if not open'
never='denials contains "access never begins" if not open_at_the_beginning'
printf '%s\n' "$(cat rules.rego)" "$never" "$over" > first/access.rego
printf '%s\n' "$(cat rules.rego)" "$over" "$never" > last/access.rego
./opa version | head -n 1
for order in first last; do
    ./opa check --strict "$order"
    for level in 0 1 2; do
        ./opa build --optimize "$level" --entrypoint access/denials --output bundle.tar.gz --bundle "$order"
        denials=$(./opa eval --format raw --bundle bundle.tar.gz data.access.denials)
        echo "$order, --optimize $level: $denials"
    done
done > seen
cat seen
cat > known <<'TEXT'
first, --optimize 0: ["access is over"]
first, --optimize 1: []
first, --optimize 2: ["access is over"]
last, --optimize 0: ["access is over"]
last, --optimize 1: ["access is over","access never begins"]
last, --optimize 2: ["access is over"]
TEXT
cmp known seen
