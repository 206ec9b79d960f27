#!/bin/sh
# gunicorn 27.0.1: of two services of the same user, `gunicornc` controls the one that last started a
# process, and ending one takes the control socket away from the other.
#
# Since 25.1, gunicorn listens on a control socket unless --no-control-socket is given. Its default place
# depends on the user only ($XDG_RUNTIME_DIR or $HOME/.gunicorn). A start removes what is there without
# asking whether somebody listens, a new worker process makes the socket anew (it is closed before each
# fork), and a stop removes it, whoever made it (gunicorn/ctl/server.py).
#
# Expected: the second service reports that the place is taken, as it does for the address that it serves;
#           or each has a socket of its own.
# Actual:   no message but "Control socket listening" in both logs. `gunicornc` gets the listeners of the
#           second service; after a reload of the first (SIGHUP), those of the first; and after the end of
#           the second, which had lost the socket by then, it finds no socket.
#
# Why it matters: an authorization plugin that is served by gunicorn runs as root, as other services of a
# host do. `gunicornc -c reload`, `worker remove` or `shutdown`, meant for another service, then acts on the
# plugin, and dockerd refuses every request while its plugin is away. Give each service its --control-socket,
# or none: opa-authz starts gunicorn without it.
#
# Installs gunicorn from PyPI into a temporary folder; needs Python 3.10 or newer. Fails if the behaviour
# changes.
set -eu
folder=$(mktemp -d)
first= second=
trap 'kill $first $second 2> /dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gunicorn==27.0.1
cd "$folder"
export HOME="$folder"
unset XDG_RUNTIME_DIR
cat > service.py <<'PYTHON'
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok\n"]
PYTHON
start() { # a name: serves on a socket of this name
    : > "$1.log"
    venv/bin/gunicorn --bind "unix:$folder/$1.sock" --log-file "$1.log" service:app &
}
logged() { # a name, a number, a text: waits until the log has the text so many times
    waited=0
    until [ "$(grep -c "$3" "$1.log")" -ge "$2" ]; do
        waited=$((waited + 1))
        [ "$waited" -lt 300 ] || { cat "$1.log"; exit 1; }
        sleep 0.1
    done
}
controlled() {
    venv/bin/gunicornc -c 'show listeners' 2>&1 | grep -oE '(first|second)\.sock|No such file or directory'
}
venv/bin/gunicorn --version
start first; first=$!
logged first 1 'Control socket listening'
start second; second=$!
logged second 1 'Control socket listening'
echo "both run:             $(controlled)" > seen
kill -HUP "$first"
logged first 2 'Booting worker'
logged first 2 'Control socket listening'
sleep 1
echo "the first reloaded:   $(controlled)" >> seen
kill "$second"
wait "$second"
second=
echo "the second has ended: $(controlled)" >> seen
kill -0 "$first"
cat seen
grep -iE 'warn|error' first.log second.log && exit 1
[ "$(cut -c23- seen | tr '\n' ',')" = 'second.sock,first.sock,No such file or directory,' ]
