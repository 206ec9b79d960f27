#!/bin/sh
# moby/v2 v2.0.0-beta.24 (Docker 29.9), built by Go: GODEBUG=http2server=0 in dockerd's environment
# turns HTTP/2 off on its API sockets.
#
# From 29.2 on dockerd serves native gRPC (HTTP/2) on its API sockets, and authorization plugins are
# not asked about it. dockerd has no option that turns this off, and it enables HTTP/2 explicitly by
# http.Server.Protocols. (Go's setting is documented for servers that get HTTP/2 by default.)
#
# Expected: dockerd answers an HTTP/2 preface with HTTP/2, whatever GODEBUG says.
# Actual:   with http2server=0 it answers in HTTP/1.1, so that no native gRPC call is served;
#           requests in HTTP/1.1 are answered as before.
#
# Why it matters: one line in dockerd's unit closes native gRPC on a host whose authorization plugin
# must decide about every request, without a proxy in front of the socket. It depends on a setting of
# Go, so it must be tested again with each release of dockerd.
#
# Needs Go 1.26, apt-get, dpkg, Python 3 and root. Builds dockerd (several minutes on two cores).
# Sends nothing but the preface and a ping. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
daemon=
stop() { [ -z "$daemon" ] || { kill "$daemon" 2> /dev/null; wait "$daemon"; daemon=; } || true; }
trap 'stop; rm -rf "$folder"' EXIT
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
cat > "$folder/client.py" <<'PYTHON'
import socket
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and SETTINGS
PING = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"


def first_bytes(request):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(sys.argv[1])
        connection.sendall(request)
        return connection.recv(64)


answer = first_bytes(PREFACE)
protocol = "HTTP/1.1" if answer.startswith(b"HTTP/1.1") else "HTTP/2" if answer[3:4] == b"\4" else "?"
print(f"preface answered in {protocol}, ping answered: {first_bytes(PING)[:15].decode()}")
PYTHON
look() {
    mkdir -p "$folder/$1"
    PATH="$folder/runtime/usr/bin:$folder/runtime/usr/sbin:$PATH" GODEBUG="$2" \
        "$folder/bin/dockerd" --config-file="$folder/none.json" --data-root="$folder/$1/data" \
        --exec-root="$folder/$1/exec" --pidfile="$folder/$1/pid" --host="unix://$folder/$1/s" \
        --bridge=none --userland-proxy=false --iptables=false --ip6tables=false --storage-driver=vfs \
        > "$folder/$1/log" 2>&1 &
    daemon=$!
    tries=0
    until python3 "$folder/client.py" "$folder/$1/s" > "$folder/$1/answer" 2> "$folder/$1/error"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] && kill -0 "$daemon" || { tail -5 "$folder/$1/log"; exit 1; }
        sleep 0.1
    done
    stop
    echo "GODEBUG='$2': $(cat "$folder/$1/answer")"
}
echo '{}' > "$folder/none.json"
"$folder/bin/dockerd" --version
look default ""
look off http2server=0
grep -q "in HTTP/2, ping answered: HTTP/1.1 200 OK" "$folder/default/answer"
grep -q "in HTTP/1.1, ping answered: HTTP/1.1 200 OK" "$folder/off/answer"
