"""The changes of the configuration that a denial asks for, by the annotations of its rule.

Most annotations state the change themselves. The functions here serve those that depend on facts
of the input document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from authz_plugin.decision import Denial
from authz_plugin.rules import Key, Rule
from authz_plugin.tools.config_changes import paths
from authz_plugin.tools.config_changes.steps import (
    AddEntry,
    Bind,
    ConfigChange,
    Ports,
    RemoveEntry,
    SetValue,
    Step,
    WidenLimit,
    is_expressible,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A denial with its rule and the input document that was denied.

    ``config`` is the configuration that denies and ``given`` the one in force, each complete and
    for the caller's role.
    """

    rule: Rule
    denial: Denial
    document: Mapping[str, Any]
    config: Mapping[str, Any]
    given: Mapping[str, Any]

    def facts(self, name: str) -> Iterator[Mapping[str, Any]]:
        """The facts of one kind that have the denial's field."""
        return (fact for fact in self.document[name] if fact["field"] == self.denial.field)

    def change(self, value: str, *steps: Step, danger: str | None = None) -> ConfigChange:
        """A change for this denial; its danger is what the rule's annotations state of ``value``
        unless ``danger`` is given."""
        if danger is None:
            function = self.rule.danger.function
            danger = DANGERS[function](self, value) if function else self.rule.danger.text(value)
        return ConfigChange(self.rule.id, value, steps, danger)


def config_changes(case: Case) -> list[ConfigChange]:
    """The changes that a denial asks for; empty where no configuration allows the request."""
    return [change for change in asked_changes(case) if all(map(is_expressible, change.steps))]


def asked_changes(case: Case) -> list[ConfigChange]:
    """The changes that a denial asks for, also those that no configuration expresses exactly."""
    asked = case.rule.change
    if asked is None:
        return []
    if asked.action == "function":
        return list(FUNCTIONS[asked.function](case, asked.key))
    if asked.action == "set":
        assert asked.to is not None
        return [case.change("", SetValue(asked.key, asked.to))]
    return list(_entries(case, asked.key, asked.source, adds=asked.action == "add"))


def _entries(
    case: Case, key: Key, source: tuple[str, str] | None, *, adds: bool
) -> Iterator[ConfigChange]:
    """One entry added for each denied value; or removed, if it is there."""
    values = [case.denial.value]
    if source is not None:
        fact, part = source
        values = [found[part] for found in case.facts(fact)]
    for value in values:
        if isinstance(value, str) and (source is None or value):
            if adds:
                yield case.change(value, AddEntry(key, value))
            elif value in _at(case.config, key):
                yield case.change(value, RemoveEntry(key, value))


def _at(config: Mapping[str, Any], key: Key) -> Any:
    found: Any = config
    for name in key:
        found = found[name]
    return found


def _operation(case: Case, _: Key) -> Iterator[ConfigChange]:
    id_ = case.document["operation"]["id"]
    yield case.change(id_, SetValue(("operations", id_), "allow"))


def _host_path(case: Case, _: Key) -> Iterator[ConfigChange]:
    """A root for each mount, with links not followed where they cannot be resolved."""
    for mount in case.facts("mounts"):
        path, resolved = mount["path"], mount["resolved"]
        if path is None or not path.isprintable():
            continue
        danger = _danger_of_path(case, path)
        steps: list[Step] = []
        if resolved is not None:
            danger = danger or _danger_of_path(case, resolved)
        elif case.config["mounts"]["follow_symlinks"]:
            steps.append(SetValue(("mounts", "follow_symlinks"), value=False))
            danger = danger or "its links are not known, and those of no mount would count"
        bind = Bind(path, resolved or path, mount["read_only"])
        yield case.change(path, AddEntry(("mounts", "allow"), bind), *steps, danger=danger)


def _protected_path(case: Case, _: Key) -> Iterator[ConfigChange]:
    for path, reached in _reached(case, case.config["mounts"]["deny"], ()):
        removed = [RemoveEntry(("mounts", "deny"), other) for other in reached]
        yield case.change(path, *removed, danger=_danger_of_entries(case, reached))


def _guarded_path(case: Case, _: Key) -> Iterator[ConfigChange]:
    guard = case.config["guard"]
    for path, reached in _reached(case, guard["paths"], guard["prefixes"]):
        added = [AddEntry(("guard", "unprotected_paths"), other) for other in reached]
        yield case.change(path, *added, danger=_danger_of_entries(case, reached))


def _danger_of_entries(case: Case, entries: Iterable[str]) -> str:
    """The rule's danger, with the entries in the place of ``{entries}``."""
    return case.rule.danger.otherwise.replace("{entries}", ", ".join(entries))


def _reached(
    case: Case, protected: Iterable[str], prefixes: Iterable[str]
) -> Iterator[tuple[str, list[str]]]:
    """The path of each mount, with the protected paths and prefixes that it reaches."""
    for mount in case.facts("mounts"):
        ends = [path for path in (mount["path"], mount["resolved"]) if path is not None]
        reached = [p for p in protected if any(paths.related(end, p) for end in ends)]
        reached += [p for p in prefixes if any(e.startswith(p) or paths.below(p, e) for e in ends)]
        if mount["path"] is not None and reached:
            yield mount["path"], sorted(reached)


def _volume_type(case: Case, _: Key) -> Iterator[ConfigChange]:
    for mount in case.facts("mounts"):
        kind = mount["options"].get("type")
        if kind and mount["path"] is None:
            yield case.change(kind, AddEntry(("volumes", "types"), kind))


def _image(case: Case, _: Key) -> Iterator[ConfigChange]:
    """The image's name, or use by id where the reference may be an id."""
    for image in case.facts("images"):
        if _is_run_by_id(image):
            yield case.change(image["reference"], SetValue(("images", "ids"), value=True))
        elif image["names"]:
            name = image["names"][-1]
            yield case.change(name, AddEntry(("images", "allow"), name))


def _image_name(case: Case, key: Key) -> Iterator[ConfigChange]:
    for image in case.facts("images"):
        if image["names"]:
            name = image["names"][-1]
            yield case.change(name, AddEntry(key, name))


def _is_run_by_id(image: Mapping[str, Any]) -> bool:
    return bool(image["action"] in {"run", "mount"} and image["may_be_id"])


def _namespace(case: Case, _: Key) -> Iterator[ConfigChange]:
    for namespace in case.facts("namespaces"):
        kind, mode = namespace["type"], namespace["mode"]
        named = kind if mode == "unknown" else f"{kind}:{mode}"
        yield case.change(named, AddEntry(("namespaces", "allow"), named))


def _security_option(case: Case, _: Key) -> Iterator[ConfigChange]:
    for option in case.facts("security_options"):
        name, value = option["name"], option["value"]
        add = AddEntry(("security_options", "allow", name), value)
        yield case.change(f"{name}={value}", add)


def _restart_retries(case: Case, _: Key) -> Iterator[ConfigChange]:
    count = case.denial.value
    limit = count if isinstance(count, int) and count > 0 else None
    yield case.change("", WidenLimit(("containers", "restart_retries"), limit))


def _dropped_capability(case: Case, _: Key) -> Iterator[ConfigChange]:
    dropped = (case.document["hardening"] or {"dropped": []})["dropped"]
    for name in case.config["hardening"]["drop"]:
        if name not in dropped:
            yield case.change(name, RemoveEntry(("hardening", "drop"), name))


def _limit(case: Case, _: Key) -> Iterator[ConfigChange]:
    for limit in case.facts("limits"):
        value = limit["value"] if limit["value"] > 0 else None
        widened = WidenLimit(("resources", "max", limit["resource"]), value)
        yield case.change(limit["resource"], widened)


def _ulimit(case: Case, _: Key) -> Iterator[ConfigChange]:
    for ulimit in case.facts("ulimits"):
        values = (ulimit["soft"], ulimit["hard"])
        value = None if min(values) < 0 else max(values)
        widened = WidenLimit(("resources", "ulimits", ulimit["name"]), value)
        yield case.change(ulimit["name"], widened)


def _oom_score(case: Case, _: Key) -> Iterator[ConfigChange]:
    score = case.denial.value
    if isinstance(score, int):
        yield case.change("", WidenLimit(("resources", "oom_score"), score, is_minimum=True))


def _port(case: Case, _: Key) -> Iterator[ConfigChange]:
    for port in case.facts("ports"):
        first, last = port["first"], port["last"]
        if first == last == 0:
            yield case.change("random", SetValue(("ports", "random"), value=True))
        elif first is not None and 0 < first <= last:
            value = str(first) if first == last else f"{first}-{last}"
            yield case.change(value, AddEntry(("ports", "ranges"), Ports(first, last)))


def _default_bridge(case: Case, _: Key) -> Iterator[ConfigChange]:
    """The default bridge; or the network by its name, which may be the id of the default bridge."""
    name = case.denial.value
    if name == "bridge" or not isinstance(name, str):
        yield case.change("", SetValue(("networks", "default_bridge"), value=True))
    else:
        yield case.change(name, AddEntry(("networks", "join"), name))


def _extra_host(case: Case, _: Key) -> Iterator[ConfigChange]:
    for host in case.facts("hosts"):
        key = "host_gateway" if host["address"] == "host-gateway" else "extra_hosts"
        yield case.change("", SetValue(("networks", key), value=True))


def _reserved_label(case: Case, _: Key) -> Iterator[ConfigChange]:
    name = str(case.denial.value).casefold()
    fitting = [p for p in case.config["labels"]["reserved"] if fnmatchcase(name, p.casefold())]
    if fitting:
        removed = [RemoveEntry(("labels", "reserved"), pattern) for pattern in fitting]
        yield case.change(str(case.denial.value), *removed)


def _plugin_privilege(case: Case, _: Key) -> Iterator[ConfigChange]:
    body = case.document["body"]
    given = body if isinstance(body, list) else body["TaskTemplate"]["PluginSpec"]["privileges"]
    name = str(case.denial.value)
    for privilege in filter(None, given):
        folded = {key.lower(): value for key, value in privilege.items()}
        if folded["name"] == name:
            added = [AddEntry(("plugins", "privileges", name), value) for value in folded["value"]]
            yield case.change(name, *added)


FUNCTIONS: Final[Mapping[str, Callable[[Case, Key], Iterable[ConfigChange]]]] = {
    "default_bridge": _default_bridge,
    "dropped_capability": _dropped_capability,
    "extra_host": _extra_host,
    "guarded_path": _guarded_path,
    "host_path": _host_path,
    "image": _image,
    "image_name": _image_name,
    "limit": _limit,
    "namespace": _namespace,
    "oom_score": _oom_score,
    "operation": _operation,
    "plugin_privilege": _plugin_privilege,
    "port": _port,
    "protected_path": _protected_path,
    "reserved_label": _reserved_label,
    "restart_retries": _restart_retries,
    "security_option": _security_option,
    "ulimit": _ulimit,
    "volume_type": _volume_type,
}
"""What an annotation ``change: {function: NAME}`` calls, with the ``key`` of the annotation."""


def _danger_of_path(case: Case, path: str) -> str:
    protected = [*case.config["mounts"]["deny"], *case.config["guard"]["paths"]]
    return paths.danger(path, protected)


def _danger_of_id(case: Case, reference: str) -> str:
    by_id = any(
        _is_run_by_id(image) and image["reference"] == reference for image in case.facts("images")
    )
    return case.rule.danger.text(reference) if by_id else ""


def _danger_of_system_group(case: Case, name: str) -> str:
    system = name.isascii() and name.isdecimal() and int(name) < _FIRST_GROUP
    return case.rule.danger.text(name) if system or name in _GROUPS else ""


def _danger_unless_configured(case: Case, value: str) -> str:
    """The rule's danger, unless the configuration in force allows the value already."""
    change = case.rule.change
    assert change is not None
    return "" if value in _at(case.given, change.key) else case.rule.danger.text(value)


_GROUPS: Final = frozenset(
    {"adm", "disk", "docker", "kmem", "kvm", "lxd", "root", "shadow", "sudo", "video", "wheel"}
)
_FIRST_GROUP: Final = 1000
"""The lowest id of a group of people on every usual Linux; below it are those of the system."""

DANGERS: Final[Mapping[str, Callable[[Case, str], str]]] = {
    "host_path": _danger_of_path,
    "image_id": _danger_of_id,
    "not_configured": _danger_unless_configured,
    "system_group": _danger_of_system_group,
}
"""What an annotation ``danger: {function: NAME}`` calls, with the value that would be allowed.

Each gives the danger as a text, empty where there is none.
"""
