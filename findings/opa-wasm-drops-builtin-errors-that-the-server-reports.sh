#!/bin/sh
# OPA 1.21.1, @open-policy-agent/opa-wasm 1.10.0: OPA's server can return an error where a builtin
# fails; a policy that is compiled to WebAssembly cannot.
#
# `startswith` of null is a builtin error. OPA's REST API answers with status 500 if the client asks for
# strict builtin errors. In the module the call is undefined instead, so the rule that makes it adds
# nothing to the set of denials, and the caller gets an empty set. opa-wasm, which loads and evaluates
# the module, has no option for it and reports nothing.
#
# Expected: an option, of `opa build` or of the host program, with which a failing builtin ends the
#           evaluation with an error.
# Actual:   the REST API with `strict-builtin-errors=true` answers 500 with `eval_type_error`; the
#           module answers as if the rule were undefined.
#
# Why it matters: a policy that lists denials allows a request if a denial cannot be computed. Whoever
# moves such a policy from the server, with strict builtin errors, to a module loses this safeguard
# without a message. opa-authz therefore changes the module so that a failing builtin ends the
# evaluation (authz_plugin/engine/strict_errors.py).
#
# Installs OPA from its Go module and opa-wasm from npm into a temporary folder; needs Go, Node.js, npm
# and curl. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.1
npm install --prefix "$folder" --cache "$folder/npm" --silent --no-audit --no-fund \
    --ignore-scripts @open-policy-agent/opa-wasm@1.10.0
mkdir "$folder/policy"
cat > "$folder/policy/mounts.rego" <<'REGO'
package mounts

denials contains mount.name if {
	some mount in input.mounts
	startswith(mount.path, "/etc/")
}
REGO
cat > "$folder/evaluate.cjs" <<'JS'
const fs = require("fs");
const { loadPolicy } = require("@open-policy-agent/opa-wasm");
loadPolicy(fs.readFileSync("policy.wasm")).then((policy) => {
    console.log(JSON.stringify(policy.evaluate(JSON.parse(process.argv[2]))));
});
JS
cd "$folder"
./opa version | head -n 1
./opa build --target wasm --entrypoint mounts/denials --output bundle.tar.gz policy
tar -xzf bundle.tar.gz /policy.wasm 2> /dev/null
./opa run --server --addr "unix://$folder/opa.sock" --log-level error policy &
server=$!
waited=0
until curl -sf --unix-socket opa.sock http://opa/health > /dev/null; do
    waited=$((waited + 1))
    [ "$waited" -lt 100 ]
    sleep 0.1
done
results=
for input in '{"mounts":[{"name":"a","path":"/etc/x"}]}' '{"mounts":[{"name":"a","path":null}]}'; do
    status=$(curl -s -o answer -w '%{http_code}' --unix-socket opa.sock -d "{\"input\": $input}" \
        'http://opa/v1/data/mounts/denials?strict-builtin-errors=true')
    module=$(node evaluate.cjs "$input")
    echo "--- $input"
    echo "REST API: status $status: $(tr -d '\n ' < answer | cut -c1-120)"
    echo "module:   $module"
    results="$results $status $module"
done
options=$(grep -rci strict node_modules/@open-policy-agent/opa-wasm/src | grep -cv ':0$' || true)
echo "files of opa-wasm that say something of strictness: $options"
[ "$results" = ' 200 [{"result":["a"]}] 500 [{"result":[]}]' ] && [ "$options" -eq 0 ]
