#!/bin/sh
# rsyslog 8.2302.0 (Debian 12): if it is stopped while its RELP receiver is away, it loses the messages
# that it was sending, although the queue is on disk and saved at a shutdown.
#
# The sender reads a file with imfile and sends each line with omrelp, from a queue of type Disk with
# saveOnShutdown and a checkpoint for each message, trying for ever. The receiver is stopped, lines are
# written, the sender is stopped in order (SIGTERM) and started again, and the receiver, too.
#
# Expected: every line arrives, some perhaps twice.
# Actual:   lines are missing; rsyslog reports "need to do hard cancellation", and neither imfile nor the
#           queue has the lines of the batch any more.
#
# Why it matters: a reboot of a host while its log server is away, which is ordinary, leaves a gap in an
# audit log that is said to be reliable. Compare the numbers of lines, or use a collector that remembers
# a line as sent only when the receiver has confirmed it.
#
# Unpacks Debian 12's packages into a temporary folder; needs apt-get and dpkg. Fails if the behaviour
# changes.
set -eu
folder=$(mktemp -d)
sender=
receiver=
trap 'kill $sender $receiver 2> /dev/null || true; rm -rf "$folder"' EXIT
mkdir -p "$folder/apt/state/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs" \
    "$folder/sender" "$folder/receiver"
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
quietly download rsyslog rsyslog-relp libestr0 libfastjson4 liblognorm5 librelp0
for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder/root"; done
modules=$(dirname "$folder"/root/usr/lib/*/rsyslog/imfile.so)
LD_LIBRARY_PATH=$(dirname "$modules")
export LD_LIBRARY_PATH
port=$((20000 + $$ % 10000))
cat > "$folder/sender.conf" <<CONF
global(workDirectory="$folder/sender")
module(load="imfile")
module(load="omrelp")
input(type="imfile" file="$folder/lines" tag="line" ruleset="send")
ruleset(name="send" queue.type="Disk" queue.fileName="send" queue.checkpointInterval="1"
        queue.saveOnShutdown="on") {
    action(type="omrelp" target="127.0.0.1" port="$port" action.resumeRetryCount="-1"
           action.resumeInterval="1")
}
CONF
cat > "$folder/receiver.conf" <<CONF
global(workDirectory="$folder/receiver")
module(load="imrelp")
template(name="line" type="string" string="%msg:::drop-last-lf%\n")
input(type="imrelp" address="127.0.0.1" port="$port" ruleset="keep")
ruleset(name="keep") { action(type="omfile" file="$folder/received" template="line") }
CONF
start() {
    "$folder/root/usr/sbin/rsyslogd" -n -f "$folder/$1.conf" -i "$folder/$1/pid" -M "$modules" \
        2>> "$folder/$1/log" &
}
write() { seq -f 'line %g' "$1" "$2" >> "$folder/lines"; }
received() { sort -u "$folder/received" | grep -c line || true; }
"$folder/root/usr/sbin/rsyslogd" -v | head -n 1
write 1 10
start receiver; receiver=$!
start sender; sender=$!
sleep 3
echo "received: $(received) of 10"
kill "$receiver"; wait "$receiver" || true
write 11 1010
sleep 3
kill "$sender"; wait "$sender" || true
start sender; sender=$!
start receiver; receiver=$!
sleep 15
write 1011 1011
sleep 5
echo "received: $(received) of 1011"
grep -q 'line 1011' "$folder/received"
[ "$(received)" -lt 1011 ]
