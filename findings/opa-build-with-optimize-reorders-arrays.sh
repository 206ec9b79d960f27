#!/bin/sh
# OPA 1.22.3: `opa build --optimize` changes the order of the elements of an array that it works out.
#
# The optimizer replaces a rule whose value is known by this value, and writes the new policy as Rego for
# the bundle. The writer sorts the elements of an array by the line of the source from which each came
# (v1/format/format.go, groupIterable), as if they still stood in the order of the source. After
# `array.concat`, `sort` or a comprehension they need not. The targets wasm and plan are compiled before
# the policy is written, and keep the order.
#
# Expected: the same values with and without --optimize.
# Actual:   with 1 and with 2, `array.concat(here, everywhere)` begins with the elements of `everywhere`,
#           which is defined further up in the file, and `sort` of a set over several lines gives the order
#           of these lines. The build reports nothing.
#
# Why it matters: in a list of patterns of which the first that matches decides, another pattern decides
# after the build. The tests of the policy do not show it, because `opa test` runs the policy as it was
# written. Evaluate known inputs with the bundle that was built, or build without --optimize.
#
# Installs OPA from its Go module into a temporary folder; needs Go. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.22.3
cd "$folder"
mkdir policy
cat > policy/images.rego <<'REGO'
package images

everywhere := [["debian:*", "allowed"]]

here := [["debian:10", "denied"]]

# The first pattern that matches decides, and those of this host come first.
patterns := array.concat(here, everywhere)

default verdict := "denied"

verdict := verdicts[0]

verdicts := [verdict |
	some [pattern, verdict] in patterns
	glob.match(pattern, null, input.image)
]

registries := sort({
	"registry.example",
	"mirror.example",
})
REGO
echo '{"image": "debian:10"}' > input.json
./opa version | head -n 1
./opa check --strict policy
for level in 0 1 2; do
    ./opa build --optimize "$level" --entrypoint images/verdict --entrypoint images/patterns \
        --entrypoint images/registries --output "$level.tar.gz" --bundle policy
    for rule in patterns verdict registries; do
        ./opa eval --format raw --bundle "$level.tar.gz" --input input.json "data.images.$rule"
    done > "seen.$level"
    echo "--- --optimize $level"
    cat "seen.$level"
done
printf '%s\n' '[["debian:10","denied"],["debian:*","allowed"]]' denied \
    '["mirror.example","registry.example"]' > right
printf '%s\n' '[["debian:*","allowed"],["debian:10","denied"]]' allowed \
    '["registry.example","mirror.example"]' > wrong
cmp right seen.0
cmp wrong seen.1
cmp wrong seen.2
