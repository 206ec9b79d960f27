#!/bin/sh
# OPA 1.21.3: with decision logs on, OPA sends its whole status after each round of uploads, also if there
# was nothing to upload.
#
# The documentation names two occasions for a status: a bundle was downloaded and activated, or the state
# of a plugin has changed. The decision log plugin also hands a status over after each of its rounds
# (v1/plugins/logs/plugin.go), and the status plugin sends it at once (v1/plugins/status/plugin.go).
#
# Expected: an idle OPA whose bundle and plugins do not change sends no status after its start.
# Actual:   it sends one about every delay of the decision logs (here one second), each with all metrics
#           that OPA has: several tens of kilobytes against the few hundred bytes of a decision.
#
# Why it matters: a site that turns on `status` beside `decision_logs` for hundreds of hosts plans for a
# few reports a day. What its receiver gets is the status of every host at the pace of the decision logs:
# for 500 hosts with rounds of ten seconds, about fifty reports and some megabytes in every second. A
# longer delay of the decision logs, or no status, avoids it.
#
# Installs OPA from its Go module into a temporary folder; needs Go and Python. Fails if the behaviour
# changes.
set -eu
folder=$(mktemp -d)
opa= service=
trap 'kill $opa $service 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.3
cd "$folder"
cat > service.py <<'PYTHON'
import gzip
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Takes(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with open("received", "a") as received:
            received.write("%s %.1f %d\n" % (self.path, time.monotonic(), len(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", 18984), Takes).serve_forever()
PYTHON
cat > config.json <<'JSON'
{"services": {"site": {"url": "http://127.0.0.1:18984"}},
 "status": {"service": "site"},
 "decision_logs": {"service": "site", "reporting": {"min_delay_seconds": 1, "max_delay_seconds": 1}}}
JSON
printf 'package guard\n\nallow := true\n' > guard.rego
touch received
python3 service.py &
service=$!
sleep 1
./opa version | head -1
./opa run --server --addr 127.0.0.1:18985 --config-file config.json --skip-version-check \
	--log-level=error guard.rego 2> opa.log &
opa=$!
sleep 5
: > received
sleep 20
statuses=$(grep -c '^/status ' received || true)
decisions=$(grep -c '^/logs ' received || true)
bytes=$(awk '$1 == "/status" {sum += $3} END {print (NR ? int(sum / NR) : 0)}' received)
echo "20 seconds in which nobody asked OPA and nothing changed:"
echo "uploads of decisions: $decisions"
echo "reports of status:    $statuses, $bytes bytes each"
[ "$decisions" -eq 0 ]
[ "$statuses" -ge 10 ]
