#!/bin/sh
# OPA 1.21.1: an archive of a folder that `opa sign --bundle FOLDER` has signed is refused.
#
# The signature lists the bundle's files by name. `opa sign` writes the names with the folder as it
# was given on the command line ("policy/.manifest"), while a bundle that is loaded or downloaded as an
# archive has names without it (".manifest").
#
# Expected: a signature that fits the bundle, however its folder is named on the command line.
# Actual:   OPA refuses the archive: "file .manifest not included in bundle signature". If the folder
#           is signed from inside, as `--bundle .`, the same archive is loaded.
#
# Why it matters: nothing is loaded that should not be, but the signature of a correct bundle is
# refused, and the message does not say which names the signature has.
#
# Installs OPA from its Go module into a temporary folder; needs Go and openssl. Fails if the behaviour
# changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.21.1
cd "$folder"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem
openssl pkey -in key.pem -pubout -out key.pub.pem
mkdir policy
echo '{"revision": "1", "roots": ["p"]}' > policy/.manifest
mkdir policy/p
echo '{"allowed": true}' > policy/p/data.json

# Pack the signed folder and have OPA verify and load it; prints what it says.
load() {
	tar -czf bundle.tar.gz -C policy .manifest .signatures.json p
	./opa build --bundle bundle.tar.gz --verification-key key.pub.pem --output loaded.tar.gz 2>&1
}

./opa version | head -n 1
echo "--- signed as: opa sign --bundle policy"
./opa sign --signing-key key.pem --bundle policy --output-file-path policy
outside=0
load || outside=$?
echo "exit status $outside"
echo "--- signed as: cd policy; opa sign --bundle ."
rm policy/.signatures.json
(cd policy && ../opa sign --signing-key ../key.pem --bundle .)
inside=0
load || inside=$?
echo "exit status $inside"
[ "$outside" -ne 0 ] && [ "$inside" -eq 0 ]
