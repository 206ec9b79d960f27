#!/bin/sh
# OPA 1.21.1: `*` of `glob.match` without delimiters matches a line feed in OPA's server, and not in the
# WebAssembly module that `opa build` makes of the same policy.
#
# The policy has a list of patterns of allowed label values. `glob.match("*", null, value)` is true for
# every value without a line feed, and for a value of two lines it is true in OPA (`opa eval`, the REST
# API) and false in the module. The module has this function compiled in, so the host program (here the
# npm package @open-policy-agent/opa-wasm) takes no part in the result.
#
# Expected: both evaluate a builtin to the same value.
# Actual:   `opa eval` true, the module false.
#
# Why it matters: whoever runs the same policy in both, for example by the server in production and by
# the module in an authorization plugin, gets two decisions on one request. `*` stands for "any value"
# in an allow-list, where the module only denies too much; in a list of denied values the same
# difference is a missing denial. Compare the decisions of both for values with control characters.
#
# Installs OPA from its Go module and opa-wasm from npm into a temporary folder; needs Go, Node.js and
# npm. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.1
npm install --prefix "$folder" --cache "$folder/npm" --silent --no-audit --no-fund \
    --ignore-scripts @open-policy-agent/opa-wasm@1.10.0
mkdir "$folder/policy"
cat > "$folder/policy/labels.rego" <<'REGO'
package labels

default allowed := false

allowed if {
	some pattern in {"shop-?", "*"}
	glob.match(pattern, null, input.value)
}
REGO
cat > "$folder/evaluate.cjs" <<'JS'
const fs = require("fs");
const { loadPolicy } = require("@open-policy-agent/opa-wasm");
loadPolicy(fs.readFileSync("policy.wasm")).then((policy) => {
    console.log(policy.evaluate(JSON.parse(process.argv[2]))[0].result);
});
JS
cd "$folder"
./opa version | head -n 1
./opa build --target wasm --entrypoint labels/allowed --output bundle.tar.gz policy
tar -xzf bundle.tar.gz /policy.wasm 2> /dev/null
results=
for input in '{"value": "one line"}' '{"value": "two\nlines"}'; do
    echo "$input" > input.json
    native=$(./opa eval --format raw --data policy --input input.json data.labels.allowed)
    module=$(node evaluate.cjs "$input")
    printf '%s: opa eval %s, the module %s\n' "$input" "$native" "$module"
    results="$results $native $module"
done
[ "$results" = " true true true false" ]
