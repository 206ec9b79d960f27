#!/bin/sh
# moby/v2 v2.0.0-beta.24 (Docker 29.9; 20.10, 26.1 and 28.5 do the same), docker-py 7.2.0: with an
# authorization plugin, dockerd logs the whole target of each request that the plugin denies or that fails,
# at the level error. Of a build, this includes the values of its arguments.
#
# Requests pass a middleware if there is a plugin, and this logs the method, the target with its query, and
# the error (pkg/authorization/middleware.go). Without a plugin, dockerd logs nothing of a request that it
# answers with a status below 500. docker-py, and the CLI with DOCKER_BUILDKIT=0, send build arguments in
# the query; `docker import` sends the address there from which it imports, perhaps with a password.
#
# Expected: a plugin makes no difference to what is logged of an allowed request, and the log of a denial
#           names the request without its values.
# Actual:   the same build with a mistake in its Dockerfile leaves nothing in the log without a plugin, and
#           the value of its argument with a plugin that allows it. Of a denied build the value is logged, too.
#
# Why it matters: the log of the daemon is read by more people, and kept longer and in more places, than a
# build argument is meant for, and a plugin that masks such values in its own records cannot prevent it.
# Keep secrets out of build arguments, and restrict who reads the log (docs/explanation/limits.md).
#
# Needs Go 1.26, apt-get, dpkg, Python 3.9 or newer, unshare and root. Builds dockerd (several minutes on two
# cores) and installs docker-py into a temporary folder. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
mkdir -p "$folder/apt/state/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs"
touch "$folder/apt/status"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm main" > "$folder/apt/sources"
quietly() {
    (cd "$folder/debs" && apt-get -qq -o Dir::State="$folder/apt/state" \
        -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt/cache" \
        -o Dir::Etc::sourcelist="$folder/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Sandbox::User=root "$@")
}
quietly update
quietly download containerd runc
for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder/runtime"; done
GOBIN="$folder/bin" GOFLAGS=-buildvcs=false go install -tags exclude_graphdriver_btrfs \
    github.com/moby/moby/v2/cmd/dockerd@v2.0.0-beta.24
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check docker==7.2.0
cd "$folder"
cat > plugin.py <<'PYTHON'
import json
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Plugin(BaseHTTPRequestHandler):
    """Denies builds of an image with the tag "denied"."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/Plugin.Activate":
            answer = {"Implements": ["authz"]}
        else:
            denied = "t=denied" in json.loads(message)["RequestUri"]
            answer = {"Allow": not denied, "Msg": "builds are not allowed" if denied else ""}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "dockerd"

    def log_message(self, *_):
        pass


socketserver.ThreadingUnixStreamServer(sys.argv[1], Plugin).serve_forever()
PYTHON
cat > build.py <<'PYTHON'
import io
import sys
import time

import docker

client = docker.DockerClient(f"unix://{sys.argv[1]}", version="1.44")
for _ in range(300):
    try:
        client.ping()
        break
    except docker.errors.DockerException:
        time.sleep(0.1)
    except OSError:
        time.sleep(0.1)
for tag in sys.argv[2:]:
    dockerfile = io.BytesIO(b"FROM scratch\nARG TOKEN\nLABLE stage=build\n")  # LABEL is misspelt
    try:
        client.images.build(fileobj=dockerfile, tag=tag, buildargs={"TOKEN": f"{tag}-s3cret"})
    except docker.errors.DockerException as error:
        print(f"{tag}: {error}")
PYTHON
cat > look.sh <<'SHELL'
set -eu
mount -t tmpfs none /run
mkdir -p /run/docker/plugins
python3 plugin.py /run/docker/plugins/guard.sock &
plugin=$!
dockerd=
trap 'kill $plugin $dockerd' EXIT
look() { # a name, and arguments of dockerd: builds, and shows what dockerd logs of it
    name=$1
    shift
    mkdir "$name"
    PATH="$PWD/runtime/usr/bin:$PWD/runtime/usr/sbin:$PATH" bin/dockerd --config-file="$PWD/none.json" \
        --data-root="$PWD/$name/data" --exec-root="$PWD/$name/exec" --pidfile="$PWD/$name/pid" \
        --host="unix://$PWD/$name/s" --bridge=none --userland-proxy=false --iptables=false \
        --ip6tables=false --storage-driver=vfs "$@" > "$name/log" 2>&1 &
    dockerd=$!
    venv/bin/python build.py "$PWD/$name/s" fails denied > "$name/answers"
    kill "$dockerd"
    wait "$dockerd" || true
    dockerd=
    echo "--- $name: what the client gets"
    cat "$name/answers"
    echo "--- $name: what dockerd logs"
    grep -a s3cret "$name/log" || echo "no argument of a build"
}
look without-plugin
look with-plugin --authorization-plugin=guard
SHELL
echo '{}' > none.json
bin/dockerd --version
unshare --mount --propagation=private sh look.sh
grep -q '^denied: .*LABLE' without-plugin/answers
! grep -q s3cret without-plugin/log
grep -q '^fails: .*LABLE' with-plugin/answers
grep -q '^denied: .*builds are not allowed' with-plugin/answers
grep -q 'level=error.*/build?.*fails-s3cret.*LABLE' with-plugin/log
grep -q 'level=error.*/build?.*denied-s3cret.*builds are not allowed' with-plugin/log
