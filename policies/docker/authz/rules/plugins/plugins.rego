# METADATA
# title: Managed plugins
# description: |
#   A plugin is a program that dockerd runs as root with the privileges that the request grants.
#   Without an authorization plugin, every caller can become root. dockerd does not show the kind
#   of a plugin, so each plugin that may be changed must be listed by name.
package docker.authz.rules.plugins

import data.docker.authz.denial
import data.docker.authz.effective
import data.docker.authz.pattern

# METADATA
# title: A plugin must be an allowed one to be changed
# description: |
#   To change is to enable, disable, remove, set or upgrade. An id does not count as a name.
# custom:
#   id: plugins.change
#   settings: [plugins.change]
#   remedy: Name a plugin that the denial lists, by its name and not by its id.
#   change: {add: plugins.change}
#   danger: a plugin is a program that runs as root on the host
#   controls: [docker The guard]
denials contains denial.of(
	"plugins.change", "path", object.get(input, ["operation", "resource", "ref"], null),
	sprintf("changing plugin %v is not allowed", [object.get(input, ["operation", "resource", "ref"], "unknown")]),
	denial.allowed(effective.list(["plugins", "change"])),
) if {
	input.operation.access == "write"
	input.operation.id in {"plugin.disable", "plugin.enable", "plugin.remove", "plugin.set", "plugin.upgrade"}
	not _changeable
}

# METADATA
# title: A plugin must be an allowed one to be installed
# description: Applies to pull, upgrade and services.
# custom:
#   id: plugins.install
#   settings: [plugins.install]
#   remedy: Install a plugin that the denial lists, or ask the operator of this host.
#   change: {function: image_name, key: plugins.install}
#   danger: a plugin is a program that runs as root on the host
#   records: [images]
#   controls: [docker The guard]
denials contains denial.of(
	"plugins.install", object.get(image, "field", "query.remote"), object.get(image, "reference", null),
	sprintf("installing plugin %v is not allowed", [object.get(image, "reference", "unknown")]),
	denial.allowed(effective.list(["plugins", "install"])),
) if {
	input.operation.access == "write"
	input.operation.id in {"plugin.pull", "plugin.upgrade", "service.create", "service.update"}
	some image in input.images
	object.get(image, "action", "plugin") == "plugin"
	not _installable(image)
}

# METADATA
# title: A plugin must get allowed privileges only
# description: Privileges are networks, devices, capabilities and paths of the host.
# custom:
#   id: plugins.privilege
#   settings: [plugins.privileges]
#   remedy: Install a plugin that needs fewer privileges, or ask the operator of this host.
#   change: {function: plugin_privilege}
#   danger: a plugin is a program that runs as root on the host
#   records: ["body.[].Name", "body.[].Value[]", "body.TaskTemplate.PluginSpec.privileges[].name",
#     "body.TaskTemplate.PluginSpec.privileges[].value[]"]
#   controls: [docker The guard]
denials contains denial.of(
	"plugins.privilege", field, name,
	sprintf("granting a plugin %v is not allowed", [name]),
	denial.allowed([name | some name, _ in effective.config.plugins.privileges]),
) if {
	input.operation.access == "write"
	some [place, i, name, values] in _granted
	not _grantable(name, values)
	field := sprintf("%s[%d]", [place, i])
}

# METADATA
# title: A plugin's setting must be an allowed one
# description: |
#   Settings change the mounts, devices and environment that a plugin declares to be settable.
#   Each is compared as it is sent: NAME=VALUE or NAME.FIELD=VALUE.
# custom:
#   id: plugins.setting
#   settings: [plugins.settings]
#   remedy: Ask the operator of this host to set it.
#   controls: [docker The guard]
denials contains denial.of(
	"plugins.setting", sprintf("[%d]", [i]), setting,
	"this setting of a plugin is not allowed", denial.allowed(effective.list(["plugins", "settings"])),
) if {
	input.operation.id == "plugin.set"
	some i, setting in object.get(input, "body", ["unknown"])
	not _settable(setting)
}

# METADATA
# title: Creating plugins needs permission
# description: dockerd never shows the archive from which a plugin is created.
# custom:
#   id: plugins.create
#   settings: [plugins.create]
#   remedy: Install a plugin that was created elsewhere.
#   change: {set: plugins.create, to: true}
#   danger: a plugin is a program that runs as root on the host
#   controls: [docker The guard]
denials contains denial.of(
	"plugins.create", "operation", "plugin.create",
	"making plugins is not allowed", "plugins.create is false",
) if {
	input.operation.id == "plugin.create"
	not _create_allowed
}

# METADATA
# title: Plugins must be readable
# description: Denies what the rules above could not judge.
# custom:
#   id: plugins.unreadable
denials contains denial.of("plugins.unreadable", "body", null, "what the plugin is granted cannot be read", "") if {
	input.operation.access == "write"
	input.operation.id in {"plugin.pull", "plugin.set", "plugin.upgrade"}
	not _readable
}

_settable(setting) if pattern.fits(effective.config.plugins.settings, setting)

_changeable if pattern.fits(effective.config.plugins.change, input.operation.resource.ref)

_readable if {
	is_array(input.body)
	count(input.images) > 0
}

_readable if {
	is_array(input.body)
	input.operation.id == "plugin.set"
}

_installable(_) if "*" in effective.config.plugins.install

_installable(image) if {
	some name in image.names
	pattern.fits(effective.config.plugins.install, name)
}

_granted contains ["", i, name, values] if {
	input.operation.id in {"plugin.pull", "plugin.upgrade"}
	some i, privilege in input.body
	name := object.get(privilege, "Name", null)
	values := object.get(privilege, "Value", null)
}

_granted contains ["TaskTemplate.PluginSpec.privileges", i, name, values] if {
	input.operation.id in {"service.create", "service.update"}
	some i, privilege in input.body.TaskTemplate.PluginSpec.privileges
	is_object(privilege)
	name := object.get(privilege, "name", null)
	values := object.get(privilege, "value", null)
}

_grantable(name, values) if {
	allowed := effective.config.plugins.privileges[name]
	every value in values { pattern.fits(allowed, value) }
}

_create_allowed if effective.config.plugins.create == true
