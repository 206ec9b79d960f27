#!/bin/sh
# Regal 0.42.0: `regal fix` changes what a regular expression matches.
#
# The rule non-raw-regex-pattern prefers raw strings (`\d`) for patterns to strings with escapes ("\\d").
# The fix replaces the quotes and halves each double backslash, and leaves the other escapes of the string
# as they are (pkg/fixer/fixes/nonrawregexpattern.go). In a raw string they are not escapes of Rego any
# more but of the regular expression, where some have another meaning and some have none.
#
# Expected: patterns with other escapes are left as they are, or written so that they match the same.
# Actual:   "\b" was a backspace and is now a boundary of words, so that values match which did not.
#           "\u00e9" was a letter and is now an error, so that the rule is undefined: it denies nothing.
#           `regal fix` reports success. `regal lint` then names the second, as a violation that was not
#           there before (invalid-regexp), and not the first.
#
# Why it matters: a fixer that "is intended to help fix style-related issues" is run over a whole
# repository, and its changes are reviewed as a change of style. A denial by a pattern can be lost by it.
# Run the tests of the policy after it, and query with strict builtin errors, which report the second.
#
# Builds Regal and OPA from their Go modules in a temporary folder; needs Go. Fails if the behaviour
# changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.22.3
mkdir build
go -C build mod init finding 2> go.log
go -C build mod edit -require github.com/open-policy-agent/regal@v0.42.0
GOFLAGS='-modcacherw -mod=mod' go -C build build -o "$folder/regal" github.com/open-policy-agent/regal \
    2>> go.log || { cat go.log; exit 1; }
mkdir -p policy/names
cat > policy/names/names.rego <<'REGO'
package names

denials contains "digit and backspace" if regex.match("\\d\b", input.name)

denials contains "é and digit" if regex.match("\u00e9\\d", input.name)

denials contains "digits only" if regex.match("^\\d+$", input.name)
REGO
denials() {
    for name in web7 café7 77; do
        echo "{\"name\": \"$name\"}" > input.json
        echo "$name: $(./opa eval --format raw --data policy --input input.json data.names.denials)"
    done
}
go version -m regal | grep -w mod
denials > before
./regal fix policy > fixed
denials > after
cat policy/names/names.rego
echo "--- before"
cat before
echo "--- after"
cat after
./regal lint --format compact policy > lint || true
echo "--- regal lint"
cat lint
[ "$(cat before)" = 'web7: []
café7: ["é and digit"]
77: ["digits only"]' ]
[ "$(cat after)" = 'web7: ["digit and backspace"]
café7: ["digit and backspace"]
77: ["digit and backspace","digits only"]' ]
