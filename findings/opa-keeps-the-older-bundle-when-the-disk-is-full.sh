#!/bin/sh
# OPA 1.21.1: with a full disk, OPA activates a new bundle, keeps the older one on disk and reports
# success.
#
# With `persist: true`, OPA stores what it has activated, and starts with it if the service of its
# bundles does not answer. If the new bundle cannot be stored and an older one is there, the error is
# logged and dropped (v1/plugins/bundle/plugin.go, saveBundleToDisk): the status names no error.
#
# Expected: an error in the status of the bundle, so that somebody can free the disk.
# Actual:   the status has the new revision and no error. After a restart without the service, the older
#           policy decides.
#
# Why it matters: a policy that was withdrawn is in force again after a restart, and nothing that
# watches the status can know it. The plugin keeps a fleet's policy itself, and has a metric and an alert
# for one that could not be kept.
#
# Installs OPA from its Go module into a temporary folder; needs Go, Python and root, because it mounts a
# small file system. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
opa= service=
trap 'kill $opa $service 2>/dev/null || true; umount "$folder/disk" 2>/dev/null || true
	chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.1
cd "$folder"
mkdir disk site policy
mount -t tmpfs -o size=1m none disk
cat > config.json <<'JSON'
{"services": {"site": {"url": "http://127.0.0.1:18981"}},
 "bundles": {"site": {"service": "site", "resource": "bundle.tar.gz", "persist": true,
                      "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}},
 "persistence_directory": "disk/opa", "status": {"console": false, "prometheus": true}}
JSON

push() { # a policy of a revision
	echo "{\"revision\": \"$1\", \"roots\": [\"revision\"]}" > policy/.manifest
	echo "{\"revision\": \"$1\"}" > policy/data.json
	./opa build --bundle policy --output new.tar.gz
	mv new.tar.gz site/bundle.tar.gz
}
serve() { python3 -m http.server --bind 127.0.0.1 --directory site 18981 2>/dev/null >&2 & service=$!; }
start() {
	./opa run --server --addr 127.0.0.1:18982 --config-file config.json --skip-version-check \
		--log-level=error 2>opa.log &
	opa=$!
}
ask() { python3 -c "import sys, urllib.request as r; print(r.urlopen('http://127.0.0.1:18982/v1/$1').read().decode())" 2>/dev/null; }
decides() { # wait until a revision does
	for _ in $(seq 100); do
		case "$(ask data/revision)" in *"\"$1\""*) echo "revision $1 decides"; return ;; esac
		sleep 0.2
	done
	return 1
}

push old && serve && start && decides old
while [ ! -s disk/opa/bundles/site/bundle.tar.gz ]; do sleep 0.1; done
echo "--- the disk is full, and a new bundle is pushed"
dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null || true
push new && decides new
sleep 1
status=$(ask status)
echo "$status" | python3 -c "
import json, sys
bundle = json.load(sys.stdin)['result']['bundles']['site']
print('status: active', bundle['active_revision'], 'message', bundle.get('message'), 'errors', bundle.get('errors'))
sys.exit(bundle['active_revision'] != 'new' or bool(bundle.get('message') or bundle.get('errors')))"
echo "--- restarted without the service, after the disk was freed"
kill $opa $service
wait $opa $service 2>/dev/null || true
rm disk/filler
start && decides old
