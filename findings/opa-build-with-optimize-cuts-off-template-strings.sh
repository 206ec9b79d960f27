#!/bin/sh
# OPA 1.22.3: `opa build --optimize` of a policy with a template string writes a bundle that no OPA loads,
# and reports success.
#
# In `$"image {image} is not allowed"`, which Rego has had since OPA 1.12, the optimizer makes strings of
# the parts. The last one, " is not allowed", has the place of the closing quote in the source, and the
# writer of the new policy copies a string from its place (v1/format/format.go), so that it writes a single
# quote. Strings that end with an expression, as $"not allowed: {image}", are written correctly.
# (https://github.com/open-policy-agent/opa/issues/8156 is another defect of the writer, which `opa fmt`
# reports; here, `opa fmt` leaves the policy as it is.)
#
# Expected: a bundle that OPA can load, or an error of the build.
# Actual:   status 0, and `opa eval`, `opa run` and `opa inspect` refuse the bundle with "rego_parse_error:
#           non-terminated string".
#
# Why it matters: a denial with a message of this form is the most ordinary rule of an authorization
# policy. A server that polls the bundle keeps the older policy and reports the error only in its log and
# its status, while the pipeline that built and published the new one has succeeded. Load each bundle
# once before it is published.
#
# Installs OPA from its Go module into a temporary folder; needs Go. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-modcacherw go install github.com/open-policy-agent/opa@v1.22.3
cd "$folder"
mkdir ends-with-text ends-with-value
write() { # a message: the policy
    cat <<REGO
package images

denials contains \$"$1" if {
	some image in input.images
	not startswith(image, "registry.example/")
}
REGO
}
write 'image {image} is not allowed' > ends-with-text/images.rego
write 'not allowed: {image}' > ends-with-value/images.rego
echo '{"images": ["debian"]}' > input.json
./opa version | head -n 1
results=
for policy in ends-with-text ends-with-value; do
    ./opa check --strict "$policy"
    ./opa fmt --fail --list "$policy"
    for level in 0 1 2; do
        built=0
        ./opa build --optimize "$level" --entrypoint images/denials --output bundle.tar.gz \
            --bundle "$policy" || built=$?
        loaded=0
        ./opa eval --format raw --bundle bundle.tar.gz --input input.json data.images.denials \
            > answer 2>&1 || loaded=$?
        echo "$policy, --optimize $level: build $built, eval $loaded: $(tr '\n' ' ' < answer | cut -c1-130)"
        [ "$loaded" -eq 0 ] || grep -q 'rego_parse_error: non-terminated string' answer
        results="$results $built$loaded"
    done
done
[ "$results" = " 00 02 02 00 00 00" ]
