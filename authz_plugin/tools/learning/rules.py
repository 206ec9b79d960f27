"""What a denial of each rule asks of the configuration.

One row for every rule that comes with this package. A rule whose row makes no wish is one that no
configuration opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from authz_plugin.decision import Denial
from authz_plugin.tools.learning import dangers
from authz_plugin.tools.learning.config_changes import (
    Add,
    Bind,
    Change,
    Drop,
    Ports,
    Put,
    Reach,
    Wish,
    can_be_written,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A denial and the document that it is of.

    ``config`` is the configuration that denies, ``given`` the one in force, both as they are for
    the caller.
    """

    denial: Denial
    document: Mapping[str, Any]
    config: Mapping[str, Any]
    given: Mapping[str, Any]

    def facts(self, name: str) -> Iterator[Mapping[str, Any]]:
        """The facts of one sort that stand at the denial's field."""
        return (fact for fact in self.document[name] if fact["field"] == self.denial.field)

    def wish(self, value: str, *changes: Change, danger: str = "") -> Wish:
        return Wish(self.denial.rule, value, changes, danger)


Row = Callable[[Case], Iterable[Wish]]


def wishes(case: Case) -> list[Wish]:
    """What a denial asks for; nothing where no configuration would do."""
    row = ROWS.get(case.denial.rule, _nothing)
    return [wish for wish in row(case) if all(map(can_be_written, wish.changes))]


def _nothing(_: Case) -> Iterable[Wish]:
    return ()


def _adds(*key: str, danger: str | Callable[[str], str] = "") -> Row:
    """The denied value, in a list."""

    def row(case: Case) -> Iterator[Wish]:
        value = case.denial.value
        if isinstance(value, str):
            means = danger if isinstance(danger, str) else danger(value)
            yield case.wish(value, Add(key, value), danger=means)

    return row


def _puts(*key: str, to: bool | str, danger: str = "") -> Row:
    """A switch, whatever the denied value is."""
    return lambda case: [case.wish("", Put(key, to), danger=danger)]


def _drops(*key: str, danger: str) -> Row:
    """The denied value, out of what is demanded."""

    def row(case: Case) -> Iterator[Wish]:
        value = case.denial.value
        if isinstance(value, str):
            yield case.wish(value, Drop(key, value), danger=danger)

    return row


def _operation(case: Case) -> Iterator[Wish]:
    id_ = case.document["operation"]["id"]
    danger = dangers.of_operation(id_)
    yield case.wish(id_, Put(("operations", id_), "allow"), danger=danger)


def _mount(case: Case) -> Iterator[Wish]:
    mounts, guard = case.config["mounts"], case.config["guard"]
    protected = [*mounts["deny"], *guard["paths"]]
    for mount in case.facts("mounts"):
        path, resolved = mount["path"], mount["resolved"]
        if path is None or not path.isprintable():
            continue
        danger = dangers.of_path(path, protected)
        changes: list[Change] = []
        if resolved is not None:
            danger = danger or dangers.of_path(resolved, protected)
        elif mounts["follow_symlinks"]:
            changes.append(Put(("mounts", "follow_symlinks"), value=False))
            danger = danger or "its links are not known, and those of no mount would count"
        bind = Bind(path, resolved or path, mount["read_only"])
        yield case.wish(path, Add(("mounts", "allow"), bind), *changes, danger=danger)


def _protected(case: Case) -> Iterator[Wish]:
    for path, reached in _reached(case, case.config["mounts"]["deny"], ()):
        drops = [Drop(("mounts", "deny"), other) for other in reached]
        danger = f"no longer protects {', '.join(reached)}: root on the host"
        yield case.wish(path, *drops, danger=danger)


def _guarded(case: Case) -> Iterator[Wish]:
    guard = case.config["guard"]
    for path, reached in _reached(case, guard["paths"], guard["prefixes"]):
        adds = [Add(("guard", "unprotected_paths"), other) for other in reached]
        danger = f"no longer guards {', '.join(reached)}: who changes it switches off every rule"
        yield case.wish(path, *adds, danger=danger)


def _reached(
    case: Case, paths: Iterable[str], prefixes: Iterable[str]
) -> Iterator[tuple[str, list[str]]]:
    """The mounts at the denial's field, each with which of the paths it reaches."""
    for mount in case.facts("mounts"):
        ends = [path for path in (mount["path"], mount["resolved"]) if path is not None]
        reached = [p for p in paths if any(dangers.related(end, p) for end in ends)]
        reached += [
            p for p in prefixes if any(e.startswith(p) or dangers.below(p, e) for e in ends)
        ]
        if mount["path"] is not None and reached:
            yield mount["path"], sorted(reached)


def _volume_options(case: Case) -> Iterator[Wish]:
    for mount in case.facts("mounts"):
        kind = mount["options"].get("type")
        if kind and mount["path"] is None:
            danger = "what its options name is mounted: a disk, an overlay, a network share"
            yield case.wish(kind, Add(("volumes", "types"), kind), danger=danger)


def _image(key: str) -> Row:
    def row(case: Case) -> Iterator[Wish]:
        for image in case.facts("images"):
            if image["action"] in {"run", "mount"} and image["may_be_id"]:
                danger = "any image that the host has may be run by its id, whatever it is called"
                yield case.wish(
                    image["reference"], Put(("images", "ids"), value=True), danger=danger
                )
            elif image["names"]:
                name = image["names"][-1]
                yield case.wish(name, Add(("images", key), name))

    return row


def _namespace(case: Case) -> Iterator[Wish]:
    for namespace in case.facts("namespaces"):
        kind, mode = namespace["type"], namespace["mode"]
        named = kind if mode == "unknown" else f"{kind}:{mode}"
        whose = {"host": "the host's", "container": "other containers'"}.get(mode, "any")
        danger = f"sees {whose} {_SEEN[kind]}"
        yield case.wish(named, Add(("namespaces", "allow"), named), danger=danger)


_SEEN: Final = {
    "cgroup": "control groups",
    "ipc": "shared memory",
    "network": "interfaces, and what listens on localhost",
    "pid": "processes, and through them their files",
    "user": "users: root in it is root on the host",
    "uts": "host name",
}


def _security_option(case: Case) -> Iterator[Wish]:
    for option in case.facts("security_options"):
        name, value = option["name"], option["value"]
        add = Add(("security_options", "allow", name), value)
        danger = "takes away, or changes, a wall around the container"
        yield case.wish(f"{name}={value}", add, danger=danger)


def _user(key: str) -> Row:
    def row(case: Case) -> Iterator[Wish]:
        for user in case.facts("users"):
            sort = user["group" if key == "groups" else "sort"]
            demanded = sort not in case.given["users"][key]
            danger = "your configuration denies such users" if demanded else ""
            yield case.wish(sort, Add(("users", key), sort), danger=danger)

    return row


def _retries(case: Case) -> Iterator[Wish]:
    count = case.denial.value
    bound = count if isinstance(count, int) and count > 0 else None
    yield case.wish("", Reach(("containers", "restart_retries"), bound), danger=_DEMAND)


def _undropped(case: Case) -> Iterator[Wish]:
    dropped = (case.document["hardening"] or {"dropped": []})["dropped"]
    for name in case.config["hardening"]["drop"]:
        if name not in dropped:
            yield case.wish(name, Drop(("hardening", "drop"), name), danger=_DEMAND)


def _required_limit(case: Case) -> Iterator[Wish]:
    required = case.config["resources"]["required"]
    for limit in case.facts("limits"):
        if limit["resource"] in required:
            drop = Drop(("resources", "required"), limit["resource"])
            yield case.wish(limit["resource"], drop, danger=_DEMAND)


def _limit(case: Case) -> Iterator[Wish]:
    for limit in case.facts("limits"):
        bound = limit["value"] if limit["value"] > 0 else None
        reach = Reach(("resources", "max", limit["resource"]), bound)
        yield case.wish(limit["resource"], reach, danger="raises a ceiling of your configuration")


def _ulimit(case: Case) -> Iterator[Wish]:
    for ulimit in case.facts("ulimits"):
        bounds = (ulimit["soft"], ulimit["hard"])
        bound = None if min(bounds) < 0 else max(bounds)
        yield case.wish(ulimit["name"], Reach(("resources", "ulimits", ulimit["name"]), bound))


def _oom_score(case: Case) -> Iterator[Wish]:
    score = case.denial.value
    if isinstance(score, int):
        danger = "the kernel kills others first when memory runs out, the host's own too"
        reach = Reach(("resources", "oom_score"), score, is_floor=True)
        yield case.wish("", reach, danger=danger)


def _port(case: Case) -> Iterator[Wish]:
    for port in case.facts("ports"):
        first, last = port["first"], port["last"]
        if first == last == 0:
            yield case.wish("random", Put(("ports", "random"), value=True))
        elif first is not None and 0 < first <= last:
            value = str(first) if first == last else f"{first}-{last}"
            yield case.wish(value, Add(("ports", "ranges"), Ports(first, last)))


def _default_bridge(case: Case) -> Iterator[Wish]:
    """A network that is called by what may be an id is written out instead."""
    name = case.denial.value
    if name == "bridge" or not isinstance(name, str):
        yield case.wish("", Put(("networks", "default_bridge"), value=True))
    else:
        yield case.wish(name, Add(("networks", "join"), name))


def _extra_host(case: Case) -> Iterator[Wish]:
    for host in case.facts("hosts"):
        key = "host_gateway" if host["address"] == "host-gateway" else "extra_hosts"
        yield case.wish("", Put(("networks", key), value=True))


def _reserved_label(case: Case) -> Iterator[Wish]:
    patterns = case.config["labels"]["reserved"]
    name = str(case.denial.value).casefold()
    fitting = [p for p in patterns if fnmatchcase(name, p.casefold())]
    if fitting:
        drops = [Drop(("labels", "reserved"), pattern) for pattern in fitting]
        yield case.wish(str(case.denial.value), *drops, danger=_DEMAND)


def _tenants_name(case: Case) -> Iterator[Wish]:
    for reference in case.facts("references"):
        if reference["name"]:
            add = Add(("tenancy", "names"), reference["name"])
            yield case.wish(reference["name"], add, danger="may be another tenant's")


def _plugin(case: Case) -> Iterator[Wish]:
    for image in case.facts("images"):
        if image["names"]:
            name = image["names"][-1]
            yield case.wish(name, Add(("plugins", "install"), name), danger=_ROOT_PROGRAM)


def _plugin_privilege(case: Case) -> Iterator[Wish]:
    body = case.document["body"]
    given = body if isinstance(body, list) else body["TaskTemplate"]["PluginSpec"]["privileges"]
    name = str(case.denial.value)
    for privilege in filter(None, given):
        folded = {key.lower(): value for key, value in privilege.items()}
        if folded["name"] == name:
            adds = [Add(("plugins", "privileges", name), value) for value in folded["value"]]
            yield case.wish(name, *adds, danger=_ROOT_PROGRAM)


_DEMAND: Final = "your configuration demands it, and would no longer"
_ROOT_PROGRAM: Final = "a plugin is a program that runs as root on the host"
_SWARM: Final = "gives this host, or its swarm, to somebody else"

ROWS: Final[Mapping[str, Row]] = {
    "build.cgroup-parent": _adds(
        "build", "cgroup_parents", danger="has other limits than a build's"
    ),
    "build.network": _adds("build", "networks", danger=dangers.of_build_network),
    "build.output": _puts(
        "build", "outputs", to=True, danger="a build may send its result anywhere"
    ),
    "build.remote": _adds("build", "remotes", danger="dockerd fetches it, with the host's reach"),
    "capabilities.add": _adds("capabilities", "allow", danger=dangers.of_capability),
    "containers.annotation": _adds(
        "containers", "annotations", danger="the runtime reads it; some change how it isolates"
    ),
    "containers.cgroup-parent": _adds(
        "containers", "cgroup_parents", danger="has other limits, and others' processes beside it"
    ),
    "containers.command": _nothing,  # words of commands are not recorded
    "containers.group": _adds("containers", "groups", danger=dangers.of_group),
    "containers.ps-arguments": _adds(
        "containers", "ps_arguments", danger="arguments of ps can show every process of the host"
    ),
    "containers.restart": _adds("containers", "restart"),
    "containers.restart-retries": _retries,
    "containers.runtime": _adds(
        "containers", "runtimes", danger="a program of the host that runs as root"
    ),
    "containers.storage-option": _adds("containers", "storage_options"),
    "containers.unreadable": _nothing,
    "devices.cgroup-rule": _puts(
        "devices", "cgroup_rules", to=True, danger="any device of the host, its disks too"
    ),
    "devices.environment": _puts(
        "devices", "requests", to=True, danger="devices of the host, and what CDI brings with them"
    ),
    "devices.mapping": _adds(
        "devices", "allow", danger="a device of the host, past all file rights"
    ),
    "devices.request": _puts(
        "devices", "requests", to=True, danger="GPUs, and CDI devices that bring mounts and hooks"
    ),
    "devices.unreadable": _nothing,
    "guard.mount": _guarded,
    "guard.unreadable": _nothing,
    "identity.revoked": _nothing,
    "identity.unmatched-caller": _puts(
        "unmatched_callers",
        to="allow",
        danger="everybody without a role gets what stands outside of roles",
    ),
    "images.digest": _puts("images", "digest", to="any", danger=_DEMAND),
    "images.latest": _puts("images", "latest", to=True),
    "images.name": _image("names"),
    "images.push": _image("push"),
    "images.source": _image("allow"),
    "images.unreadable": _nothing,
    "images.url": _puts(
        "images", "import_urls", to=True, danger="dockerd fetches any URL, with the host's reach"
    ),
    "labels.required": _drops("labels", "required", danger=_DEMAND),
    "labels.reserved": _reserved_label,
    "labels.unreadable": _nothing,
    "logging.driver": _adds(
        "logging", "drivers", danger="dockerd sends, as root, to wherever its options say"
    ),
    "logging.option": _adds(
        "logging", "options", danger="addresses and files among such options are dockerd's to open"
    ),
    "mounts.moved": _nothing,
    "mounts.propagation": _adds(
        "mounts", "propagation", danger="what is mounted in the container is mounted on the host"
    ),
    "mounts.protected": _protected,
    "mounts.read-only": _mount,
    "mounts.source": _mount,
    "mounts.subfolders": _puts(
        "mounts", "subfolders", to="allow", danger="who writes to a root can lead a mount elsewhere"
    ),
    "mounts.type": _adds("mounts", "types", danger=dangers.of_mount_type),
    "mounts.unreadable": _nothing,
    "mounts.volumes-from": _puts(
        "mounts", "volumes_from", to=True, danger="every mount of any container, host paths too"
    ),
    "namespaces.container": _namespace,
    "namespaces.host": _namespace,
    "namespaces.service-network": _namespace,
    "namespaces.unknown": _namespace,
    "networks.address": _puts("networks", "static_addresses", to=True),
    "networks.alias": _puts("networks", "aliases", to=True),
    "networks.config": _puts(
        "networks", "config_from", to=True, danger="options of networks that no rule sees"
    ),
    "networks.default-bridge": _default_bridge,
    "networks.dns": _puts("networks", "dns", to=True),
    "networks.driver": _adds("networks", "drivers", danger=dangers.of_network_driver),
    "networks.endpoint-option": _adds(
        "networks", "endpoint_options", danger="sets kernel parameters and names of interfaces"
    ),
    "networks.extra-host": _extra_host,
    "networks.ingress": _puts(
        "networks", "ingress", to=True, danger="published ports of all services go through it"
    ),
    "networks.join": _adds("networks", "join"),
    "networks.link": _puts("networks", "links", to=True),
    "networks.mac-address": _puts(
        "networks", "mac_addresses", to=True, danger="gets what is sent to a neighbour"
    ),
    "networks.option": _adds(
        "networks", "options", danger="some adopt bridges of the host or open its addresses"
    ),
    "networks.scope": _adds("networks", "scopes"),
    "networks.subnet": _puts("networks", "subnets", to=True),
    "networks.unreadable": _nothing,
    "plugins.change": _adds("plugins", "change", danger=_ROOT_PROGRAM),
    "plugins.create": _puts("plugins", "create", to=True, danger=_ROOT_PROGRAM),
    "plugins.install": _plugin,
    "plugins.privilege": _plugin_privilege,
    "plugins.setting": _nothing,  # settings may be secrets, and are not recorded
    "plugins.unreadable": _nothing,
    "ports.address": _adds("ports", "addresses"),
    "ports.publish-all": _puts("ports", "publish_all", to=True),
    "ports.range": _port,
    "privileged.container": _puts(
        "privileged", "allow", to=True, danger="a privileged container is the host"
    ),
    "privileged.exec": _puts(
        "privileged", "allow", to=True, danger="privileged containers, too: each is the host"
    ),
    "registries.host": _adds("registries", "allow"),
    "request.incomplete": _nothing,
    "request.unknown-field": _puts(
        "request", "unknown_fields", to="ignore", danger="a newer dockerd may act on unseen fields"
    ),
    "resources.block-device": _puts(
        "resources", "block_devices", to=True, danger="names block devices of the host"
    ),
    "resources.max": _limit,
    "resources.oom-kill": _puts(
        "resources", "oom_kill_disable", to=True, danger="stops the host when its memory runs out"
    ),
    "resources.oom-score": _oom_score,
    "resources.realtime": _puts(
        "resources", "realtime", to=True, danger="goes before every process of the host"
    ),
    "resources.required": _required_limit,
    "resources.ulimit": _ulimit,
    "resources.unreadable": _nothing,
    "sections.operation": _operation,
    "security-options.paths": _puts(
        "security_options", "paths", to=True, danger="shows the kernel's memory and switches"
    ),
    "security-options.value": _security_option,
    "swarm.ca": _puts("swarm", "external_cas", to=True, danger=_SWARM),
    "swarm.driver": _puts(
        "swarm", "drivers", to=True, danger="a driver is a plugin, and templates read nodes' data"
    ),
    "swarm.join": _adds("swarm", "join", danger=_SWARM),
    "swarm.manager": _puts("swarm", "managers", to=True, danger=_SWARM),
    "swarm.rollback": _puts(
        "swarm", "rollback", to=True, danger="brings back a service that no rule sees"
    ),
    "swarm.runtime": _adds("swarm", "runtimes", danger="a task that is no container"),
    "sysctls.name": _adds("sysctls", "allow"),
    "tenancy.everybody": _nothing,
    "tenancy.filter": _drops("tenancy", "labels", danger="shows what is other tenants'"),
    "tenancy.label": _drops(
        "tenancy", "labels", danger="what is made is no longer known as theirs"
    ),
    "tenancy.name": _tenants_name,
    "tenancy.unreadable": _nothing,
    "tmpfs.option": _adds("tmpfs", "options", danger=dangers.of_tmpfs_option),
    "users.container": _user("containers"),
    "users.exec": _user("execs"),
    "users.group": _user("groups"),
    "volumes.driver": _adds("volumes", "drivers", danger=dangers.of_volume_driver),
    "volumes.named": _puts("volumes", "named", to=True),
    "volumes.options": _volume_options,
    "hardening.drop": _undropped,
    "hardening.healthcheck": _puts("hardening", "healthcheck", to=False, danger=_DEMAND),
    "hardening.no-new-privileges": _puts(
        "hardening", "no_new_privileges", to=False, danger=_DEMAND
    ),
    "hardening.read-only-root": _puts("hardening", "read_only_root", to=False, danger=_DEMAND),
}
