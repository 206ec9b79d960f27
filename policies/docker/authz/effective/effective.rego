# METADATA
# title: The policy configuration in force
# description: |
#   The only reader of `data.docker.authz.config`, which the plugin writes: a profile with the
#   operator's changes, complete and checked against `policies/schemas/config.json`.
package docker.authz.effective

# METADATA
# title: The configuration for this caller
config := data.docker.authz.config

# METADATA
# title: A list of the configuration
# description: |
#   Empty where there is none. A denial whose text cannot be made would be no denial, so texts are
#   made of this and never of the configuration itself.
list(path) := object.get(config, path, [])
