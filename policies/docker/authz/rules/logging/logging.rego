# METADATA
# title: Log drivers
# description: |
#   dockerd itself, as root, sends the output of a container to the destination that the driver's
#   options name, and reads the files that they name.
package docker.authz.rules.logging

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A log driver must be an allowed one
# description: syslog, fluentd, gelf, splunk and others connect to any host or socket.
# custom:
#   id: logging.driver
#   settings: [logging.drivers]
#   remedy: Run it without --log-driver, or with one that the denial lists.
#   change: {add: logging.drivers}
#   danger: dockerd sends the output, as root, to any destination that the options name
#   records: [log_drivers]
#   controls: [docker Log drivers]
denials contains denial.of(
	"logging.driver", object.get(driver, "field", "HostConfig.LogConfig"),
	object.get(driver, "name", null),
	sprintf("log driver %v is not allowed", [denial.named(object.get(driver, "name", "unknown"), "dockerd's default")]),
	denial.allowed_names(effective.list(["logging", "drivers"]), "dockerd's default"),
) if {
	input.operation.access == "write"
	some driver in input.log_drivers
	not _allowed(driver)
}

# METADATA
# title: A log driver's option must be an allowed one
# description: dockerd opens the addresses and files that such options name.
# custom:
#   id: logging.option
#   settings: [logging.options]
#   remedy: Leave the option out of --log-opt.
#   change: {add: logging.options}
#   danger: dockerd opens the addresses and files that such options name
#   records: [log_drivers]
#   controls: [docker Log drivers]
denials contains denial.of(
	"logging.option", object.get(driver, "field", "HostConfig.LogConfig"), name,
	sprintf("log option %v is not allowed", [denial.named(name, "empty")]),
	denial.allowed(effective.list(["logging", "options"])),
) if {
	input.operation.access == "write"
	some driver in input.log_drivers
	some name, _ in object.get(driver, "options", {"unknown": ""})
	not _allowed_option(name)
}

_allowed(driver) if pattern.fits(effective.config.logging.drivers, driver.name)

_allowed_option(name) if pattern.fits(effective.config.logging.options, name)
