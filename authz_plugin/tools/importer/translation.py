"""Makes a policy configuration of what a proxy allows.

Sections have the levels of the proxy's, and operations that differ are named. The profile has the
rules for request bodies, which proxies do not examine. Operations that the proxy allows without
being named in its settings are denied, unless they are selected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from authz_plugin.configuration import complete_profile, config_schema
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.tools.importer.differences import CLOSED, CREATE, PLUGINS, REMOVAL, Difference
from authz_plugin.tools.importer.permissions import Level, MountSettings, Note, Permissions

NAMED_VOLUMES: Final = "named-volumes"
"""The word of ``--with`` that allows containers to create named volumes."""

_LEVELS: Final[tuple[Level, ...]] = ("none", "read", "write")
_CREATING: Final = frozenset({CREATE, "service.create", "service.update"})
_ROOT_EQUIVALENT: Final = (
    _CREATING | PLUGINS.operations | {"volume.create", "image.build", "build.grpc"}
)
_DEVELOPMENT: Final = frozenset({"image.build", "exec.start"})


@dataclass(frozen=True, slots=True)
class Imported:
    """A policy configuration, the operations that it allows, and a note for each setting."""

    configuration: Mapping[str, Any]
    operations: frozenset[str]
    notes: tuple[Note, ...]


def translate(
    permissions: Permissions, bodies: MountSettings, selected: Collection[str]
) -> Imported:
    """Make the configuration; ``selected`` are ids of differences to leave open, or words.

    The words are those of ``SELECTABLE``.
    """
    closed = _closed(permissions, permissions.selected | set(selected))
    opened = permissions.operations.difference(*closed.values())
    profile = _profile(opened, bodies)
    levels = {section: _level(section, permissions, opened) for section in _sections()}
    configuration: dict[str, Any] = {
        "profile": profile,
        "sections": levels,
        "operations": _operations(levels, opened, profile),
        **_rules(opened, bodies, selected),
    }
    notes = (
        *permissions.notes,
        *bodies.notes,
        *_without_effect(permissions.operations, selected),
        *_opened_by_others(opened, closed),
        *(_difference(difference, ids) for difference, ids in closed.items()),
        *_about_bodies(configuration, opened, bodies),
    )
    return Imported(configuration, opened, notes)


def _closed(
    permissions: Permissions, selected: Collection[str]
) -> dict[Difference, frozenset[str]]:
    """Return the differences that apply, each with the operations that it denies."""
    operations, refused = permissions.operations, permissions.refused
    closed = {}
    for difference in CLOSED:
        is_kept = difference.id in selected or difference.unless in operations
        if not is_kept or difference.id in refused:
            closed[difference] = difference.operations & operations
    if REMOVAL.id in refused:
        closed[REMOVAL] = REMOVAL.operations & operations
    return {difference: ids for difference, ids in closed.items() if ids}


def _profile(opened: frozenset[str], bodies: MountSettings) -> str:
    """Return the profile for the allowed operations: ``closed`` if none creates containers."""
    if _CREATING.isdisjoint(opened):
        return "closed"
    if bodies.checked or not _DEVELOPMENT.isdisjoint(opened):
        return "devcontainer"
    return "production"


@cache
def _base(profile: str) -> Mapping[str, Any]:
    return complete_profile(profile, UnseenHostPaths())


def _sections() -> list[str]:
    sections: list[str] = config_schema()["properties"]["sections"]["required"]
    return sections


def _opens(level: Level, id_: str) -> bool:
    return level == "write" or (level == "read" and OPERATIONS[id_].access == "read")


def _level(section: str, permissions: Permissions, opened: frozenset[str]) -> Level:
    """Return the level in the proxy's settings, else the one with the fewest exceptions."""
    inside = [id_ for id_, operation in OPERATIONS.items() if operation.section == section]
    if opened.isdisjoint(inside):
        return "none"
    if permissions.sections:
        return permissions.sections.get(section, "none")
    return min(
        _LEVELS, key=lambda level: sum(_opens(level, id_) != (id_ in opened) for id_ in inside)
    )


def _operations(
    levels: Mapping[str, Level], opened: frozenset[str], profile: str
) -> dict[str, str]:
    """Return the operations whose verdict is not that of their section and of the profile."""
    by_profile = _base(profile)["operations"]
    verdicts = {True: "allow", False: "deny"}
    named = {}
    for id_, operation in sorted(OPERATIONS.items()):
        verdict = verdicts[id_ in opened]
        by_section = verdicts[_opens(levels[operation.section], id_)]
        if by_section != verdict or by_profile.get(id_, verdict) != verdict:
            named[id_] = verdict
    return named


def _rules(
    opened: frozenset[str], bodies: MountSettings, selected: Collection[str]
) -> dict[str, Any]:
    """Return the keys for request bodies whose values differ from the profile's."""
    rules: dict[str, Any] = {}
    if bodies.privileged is not None:
        rules["privileged"] = {"allow": bodies.privileged}
    if bodies.roots or not _CREATING.isdisjoint(opened):
        rules["mounts"] = {"allow": [{"path": path} for path in bodies.roots]}
    if not _CREATING.isdisjoint(opened):
        rules["volumes"] = {"named": "volume.create" in opened or NAMED_VOLUMES in selected}
    if "image.push" in opened:
        rules["images"] = {"push": ["*"]}
    return rules


def _without_effect(operations: frozenset[str], selected: Collection[str]) -> Iterator[Note]:
    """Yield a note for each selected difference whose operations the proxy denies."""
    for difference in CLOSED:
        if difference.id in selected and difference.operations.isdisjoint(operations):
            text = "opens nothing, as the proxy lets none of it through"
            yield Note("warning", f"--with {difference.id}", text)


def _opened_by_others(opened: frozenset[str], closed: Collection[Difference]) -> Iterator[Note]:
    """Yield a note for each difference that another allowed operation leaves open."""
    for difference in CLOSED:
        ids = difference.operations & opened
        if difference.named and difference.unless in opened and difference not in closed and ids:
            text = f"{', '.join(sorted(ids))} open, as {difference.unless} is"
            yield Note("carried over", difference.id, text)


def _difference(difference: Difference, closed: Collection[str]) -> Note:
    way = f"; --with {difference.id} opens it" if difference.named else ""
    text = f"{', '.join(sorted(closed))} closed: {difference.reason}{way}"
    return Note("stricter", difference.id, text)


def _about_bodies(
    configuration: Mapping[str, Any], opened: frozenset[str], bodies: MountSettings
) -> Iterator[Note]:
    """Yield the notes about request bodies, which the proxy does not examine."""
    powers = sorted(_ROOT_EQUIVALENT & opened)
    if powers:
        text = (
            f"whoever had {', '.join(powers)} was root on the host: "
            "the proxy does not judge request bodies"
        )
        yield Note("warning", "bodies", text)
    if not _CREATING.isdisjoint(opened):
        profile = configuration["profile"]
        text = f"rules of profile {profile}: capabilities, namespaces, devices, security options"
        yield Note("stricter", "bodies", text)
        if not bodies.privileged:
            yield Note("stricter", "privileged", "nothing may be privileged")
        if "/" in bodies.roots:
            yield Note("warning", "mounts", "every path of the host may be mounted: that is root")
        if not bodies.roots:
            text = "no path of the host may be mounted until mounts.allow names it"
            yield Note("stricter", "mounts", text)
        yield Note("stricter", "ports", f"of the host's, {_ports(profile)} may be published")
        if not configuration["volumes"]["named"]:
            text = f"containers make none by naming it; --with {NAMED_VOLUMES} lets them"
            yield Note("stricter", NAMED_VOLUMES, text)
    if "image.push" in opened:
        text = "to every registry, as at the proxy: images.push and registries.allow can name yours"
        yield Note("carried over", "images.push", text)
    if not PLUGINS.operations.isdisjoint(opened):
        yield Note("stricter", PLUGINS.id, PLUGINS.reason)


def _ports(profile: str) -> str:
    ranges = _base(profile)["ports"]["ranges"]
    return " and ".join(f"{one['first']} to {one['last']}" for one in ranges)
