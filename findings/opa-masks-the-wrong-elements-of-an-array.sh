#!/bin/sh
# OPA 1.21.3: a mask of the decision log that removes two elements of an array removes the first of them
# and one that it does not name.
#
# A mask is a set of JSON pointers, which OPA applies one after the other in their sorted order
# (v1/plugins/logs/mask.go, removeValue). Each removal moves the elements behind it, so that the index in
# the next pointer stands for the element after the one that the policy named, or for none.
#
# Expected: all named elements are gone, and the others are there.
# Actual:   of five elements, of which the first, second and fourth are named, the first and the third are
#           removed. The second and the fourth are logged, and "erased" names the first and the second.
#
# Why it matters: in Docker's requests, the environment of a container, its bind mounts and its security
# options are arrays, so that a policy for them is likely to mask elements by their index. What it was to
# hide is in the log, and "erased" does not show that. A mask with the operation "upsert" replaces the
# elements where they are and is right.
#
# Installs OPA from its Go module into a temporary folder; needs Go and Python. Fails if the behaviour
# changes.
set -eu
folder=$(mktemp -d)
opa=
trap '[ -z "$opa" ] || kill "$opa"; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.3
cd "$folder"
echo '{"decision_logs": {"console": true}}' > config.json
cat > remove.rego <<'REGO'
package system.log

mask contains sprintf("/input/Env/%d", [i]) if {
	some i, variable in input.input.Env
	startswith(variable, "PRIVATE_")
}
REGO
cat > upsert.rego <<'REGO'
package system.log

mask contains {"op": "upsert", "path": sprintf("/input/Env/%d", [i]), "value": "***"} if {
	some i, variable in input.input.Env
	startswith(variable, "PRIVATE_")
}
REGO
printf 'package guard\n\nallow := true\n' > guard.rego
cat > ask.py <<'PYTHON'
import json
import sys
import time
import urllib.request

variables = ["PRIVATE_A=1", "PRIVATE_B=2", "LANG=C", "PRIVATE_C=3", "TZ=UTC"]
request = json.dumps({"input": {"Env": variables}}).encode()
for _ in range(100):
    try:
        urllib.request.urlopen("http://127.0.0.1:18983/v1/data/guard/allow", request).read()
        break
    except OSError:
        time.sleep(0.1)
for _ in range(100):
    events = [json.loads(line) for line in open(sys.argv[1]) if '"decision_id"' in line]
    if events:
        shown = [events[0]["input"]["Env"], events[0].get("erased", []), events[0].get("masked", [])]
        print("logged: %s\nerased: %s\nmasked: %s" % tuple(map(json.dumps, shown)))
        break
    time.sleep(0.1)
PYTHON
log_with() { # a mask: what is logged of a request
	./opa run --server --addr 127.0.0.1:18983 --config-file config.json --skip-version-check \
		guard.rego "$1.rego" 2> "$1.log" &
	opa=$!
	python3 ask.py "$1.log" > "$1.seen"
	kill "$opa" && wait "$opa" 2>/dev/null || true
	opa=
	echo "--- $1"
	cat "$1.seen"
}
./opa version | head -1
log_with remove
log_with upsert
grep -qx 'logged: \["PRIVATE_B=2", "PRIVATE_C=3", "TZ=UTC"\]' remove.seen
grep -qx 'erased: \["/input/Env/0", "/input/Env/1"\]' remove.seen
grep -qx 'logged: \["\*\*\*", "\*\*\*", "LANG=C", "\*\*\*", "TZ=UTC"\]' upsert.seen
