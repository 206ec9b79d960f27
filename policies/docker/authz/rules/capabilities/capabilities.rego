# METADATA
# title: Linux capabilities
# description: |
#   Capabilities that are added to containers and services. Their names are in upper case and
#   without CAP_.
package docker.authz.rules.capabilities

import data.docker.authz.denial
import data.docker.authz.effective

# METADATA
# title: An added capability must be an allowed one
# description: |
#   SYS_ADMIN, SYS_PTRACE, SYS_MODULE, DAC_READ_SEARCH and others allow an escape to the host.
# custom:
#   id: capabilities.add
#   settings: [capabilities.allow]
#   remedy: Leave --cap-add out, or add only what the denial lists.
#   change: {add: capabilities.allow}
#   danger:
#     harmless: [AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE,
#       NET_RAW, SETFCAP, SETGID, SETPCAP, SETUID, SYS_CHROOT]
#     values:
#       ALL: "every capability: root on the host"
#       BPF: loads programs into the kernel
#       DAC_READ_SEARCH: opens any file of the host by its handle
#       MAC_ADMIN: changes the host's AppArmor or SELinux rules
#       MAC_OVERRIDE: bypasses the host's AppArmor or SELinux rules
#       NET_ADMIN: changes interfaces, routes and firewalls; in the host's network, the host's
#       PERFMON: observes the kernel and, through it, other processes
#       SYSLOG: reads the kernel's log and memory addresses
#       SYS_ADMIN: "mounts file systems and changes namespaces: root on the host"
#       SYS_BOOT: restarts the host
#       SYS_MODULE: "loads kernel modules: root on the host"
#       SYS_PTRACE: reads and changes other processes' memory
#       SYS_RAWIO: reads and writes the host's memory and disks
#       SYS_TIME: sets the host's clock
#     otherwise: is not one of the capabilities that Docker gives every container
#   baseline: {capabilities.allow: []}
#   records: [capabilities]
#   controls: [pod-security Capabilities, pod-security Capabilities dropped, cis 5.4,
#     owasp Container breakout, "owasp #3", nist 4.4.3, portainer Capabilities]
denials contains denial.of(
	"capabilities.add", object.get(capability, "field", ""), object.get(capability, "name", null),
	sprintf("capability %s is not allowed", [object.get(capability, "name", "unknown")]),
	denial.allowed(effective.list(["capabilities", "allow"])),
) if {
	some capability in input.capabilities
	not _allowed(capability)
}

_allowed(capability) if capability.name in effective.config.capabilities.allow
