# METADATA
# title: Security options
# description: |
#   seccomp, AppArmor, SELinux labels, no-new-privileges and masked paths confine a container in
#   addition to its namespaces. Options that weaken them need permission.
package docker.authz.rules.security_options

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A security option must be an allowed one
# description: |
#   seccomp=unconfined, apparmor=unconfined, label=disable and no-new-privileges=false each remove
#   one protection. A seccomp profile that is given inline cannot be judged.
# custom:
#   id: security-options.value
#   settings: [security_options.allow]
#   remedy: Leave the --security-opt out, or use one that the denial lists.
#   change: {function: security_option}
#   danger: removes or changes a protection that confines the container
#   records: [security_options]
#   controls: [pod-security AppArmor, pod-security SELinux, pod-security Seccomp,
#     pod-security Privilege escalation, cis 5.2, cis 5.3, cis 5.22, owasp Container breakout,
#     "owasp #4", "owasp #6", nist 4.4.3, portainer Security options]
denials contains denial.of(
	"security-options.value", object.get(option, "field", ""), object.get(option, "name", null),
	sprintf("security option %s is not allowed", [_shown(option)]),
	denial.allowed(_values),
) if {
	some option in input.security_options
	not _allowed(option)
}

# METADATA
# title: Masked and read-only paths must stay as they are
# description: |
#   A shorter list (systempaths=unconfined sends an empty one) exposes /proc/kcore,
#   /proc/sysrq-trigger and /sys/firmware.
# custom:
#   id: security-options.paths
#   settings: [security_options.paths]
#   remedy: Leave --security-opt systempaths=unconfined out.
#   change: {set: security_options.paths, to: true}
#   danger: exposes the kernel's memory and control files
#   controls: [pod-security /proc mount type, owasp Container breakout, "owasp #6", nist 4.4.3,
#     portainer Security options]
denials contains denial.of(
	"security-options.paths", sprintf("HostConfig.%s", [name]), null,
	sprintf("changing %s is not allowed", [name]),
	"leave out systempaths=unconfined",
) if {
	input.operation.id == "container.create"
	not _paths_allowed
	some name in ["MaskedPaths", "ReadonlyPaths"]
	not _default_paths(name)
}

_allowed(option) if pattern.fits(effective.config.security_options.allow[option.name], option.value)

_paths_allowed if effective.config.security_options.paths == true

_default_paths(name) if is_null(input.body.HostConfig[name])

_values := [concat("=", [name, value]) |
	some name, values in effective.list(["security_options", "allow"])
	some value in values
]

_shown(option) := sprintf("%s=%s", [
	object.get(option, "name", "unknown"),
	object.get(option, "value", "unknown"),
])
