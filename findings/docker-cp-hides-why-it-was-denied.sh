#!/bin/sh
# Docker CLI 26.1.5 (20.10.24 and 28.5.2 do the same): `docker cp FILE CONTAINER:FOLDER` does not show
# why an authorization plugin denied it.
#
# The CLI first examines the folder with HEAD /containers/NAME/archive. A response to HEAD has no
# body, so dockerd cannot send the plugin's message, and the CLI treats every error of this request as
# a missing folder. The other direction begins with GET and shows the message.
#
# Expected: an error that says that the request was refused (the status is 403), as for every other
#           command.
# Actual:   "no such directory", without mention of a denial.
#
# Why it matters: users search for a folder that exists, and report a missing file to the operator of
# the authorization plugin. The denial, of a HEAD request, is only in the plugin's log.
#
# Uses the CLI from Debian 13's packages with a small server that answers 403 to everything but ping,
# as dockerd does if a plugin denies a request. Needs apt-get, dpkg and Python 3. Fails if the
# behaviour changes.
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
mkdir -p "$folder/apt/state/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs"
touch "$folder/apt/status"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] http://deb.debian.org/debian trixie main" > "$folder/apt/sources"
quietly() {
    (cd "$folder/debs" && apt-get -qq -o Dir::State="$folder/apt/state" \
        -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt/cache" \
        -o Dir::Etc::sourcelist="$folder/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Sandbox::User=root "$@")
}
quietly update
quietly download docker-cli
dpkg -x "$folder"/debs/docker-cli_26.1.5*.deb "$folder/cli"
cat > "$folder/server.py" <<'PYTHON'
import socketserver
import sys
from http.server import BaseHTTPRequestHandler

DENIED = b'{"message":"authorization denied by plugin guard: copies are not allowed"}'


class Denies(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        is_ping = self.path.endswith("_ping")
        body = b"OK" if is_ping else DENIED
        self.send_response(200 if is_ping else 403)
        self.send_header("Api-Version", "1.45")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = answer

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


socketserver.ThreadingUnixStreamServer(sys.argv[1], Denies).serve_forever()
PYTHON
python3 "$folder/server.py" "$folder/docker.sock" &
server=$!
until [ -S "$folder/docker.sock" ]; do sleep 0.1; done
docker() { DOCKER_CONFIG="$folder" "$folder/cli/usr/bin/docker" -H "unix://$folder/docker.sock" "$@" 2>&1; }
docker --version
touch "$folder/file"
into=$(docker cp "$folder/file" web:/data/ || true)
out=$(docker cp web:/data/file - || true)
echo "docker cp FILE web:/data/  says: $into"
echo "docker cp web:/data/file - says: $out"
[ "$into" = "no such directory" ]
case "$out" in *"authorization denied by plugin guard"*) ;; *) exit 1 ;; esac
