"""Reads the settings of Tecnativa's proxy, and of linuxserver's, which is derived from it.

Each variable is a switch: it allows the paths that begin with its name, and ``POST`` allows all
methods other than GET and HEAD. The variables, defaults and the order of rules are those of
Tecnativa/docker-socket-proxy a6fbf38 ``haproxy.cfg``, ``Dockerfile``, and pull request 173 (pause);
linuxserver/docker-socket-proxy ab9f088 ``root/templates/haproxy.cfg``, ``Dockerfile``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from authz_plugin.dockerd.routes import OPERATIONS, ROUTES
from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import mount_validation
from authz_plugin.tools.importer.differences import REMOVAL
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.permissions import (
    METHODS,
    Dialect,
    Level,
    Note,
    Permissions,
    example,
    nearest,
)

SECTIONS: Final[Mapping[str, str]] = {
    name: name.lower()
    for name in (
        "AUTH", "BUILD", "COMMIT", "CONFIGS", "CONTAINERS", "DISTRIBUTION", "EVENTS", "EXEC",
        "GRPC", "IMAGES", "INFO", "NETWORKS", "NODES", "PING", "PLUGINS", "SECRETS", "SERVICES",
        "SESSION", "SWARM", "SYSTEM", "TASKS", "VERSION", "VOLUMES",
    )
}  # fmt: skip
"""Variables that allow a section of the API, with the section's name in the configuration."""

ON_BY_DEFAULT: Final = ("EVENTS", "PING", "VERSION")
"""Switches that are on by default; all others are off."""

ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "ALLOW_PAUSE": ("pause",),
    "ALLOW_RESTARTS": ("stop", "restart", "kill"),
    "ALLOW_START": ("start",),
    "ALLOW_STOP": ("stop",),
    "ALLOW_UNPAUSE": ("unpause",),
}
"""Variables that allow single actions on a container. Tecnativa's proxy requires ``POST`` too,
linuxserver's does not."""

PART_SWITCHES: Final[Mapping[str, tuple[str, str]]] = {
    "ALLOW_ARCHIVE": ("archive", "archive"),
    "ALLOW_CHANGES": ("change", "changes"),
    "ALLOW_EXPORT": ("export", "export"),
    "ALLOW_LOGS": ("logs", "logs"),
    "ALLOW_TOP": ("top", "top"),
}
"""Variables without which linuxserver's proxy denies a part of ``CONTAINERS``: the beginning of
that part's path, and the id of the difference. Tecnativa's proxy does not read them."""

NO_COUNTERPART: Final[Mapping[str, str]] = {
    "DISABLE_IPV6": "dockerd asks the plugin on a socket of its own: there is no port to bind",
    "LOG_LEVEL": "log.level in the settings, whose levels are others",
    "PGID": "the plugin runs as a service of the host",
    "PUID": "the plugin runs as a service of the host",
    "SOCKET_PATH": "dockerd asks the plugin, not the other way round",
    "TZ": "times are in UTC",
}
"""Variables without a counterpart in the configuration, each with what to use instead."""

KNOWN: Final = frozenset(
    {
        *SECTIONS,
        *ACTIONS,
        *PART_SWITCHES,
        *NO_COUNTERPART,
        *mount_validation.VARIABLES,
        "DELETE",
        "POST",
    }
)
"""All variables of the two proxies, and those of ``mount_validation``."""

_PODMAN: Final = "LIBPOD_"
_NUMBER: Final = re.compile(r"[+-]?\d+")
_OFF: Final = frozenset({"0", "false", "no", "off"})
_PREFIX: Final = r"(/v[\d.]+)?"
_CONTAINER: Final = rf"{_PREFIX}/containers/[a-zA-Z0-9_.-]+"


def is_on(value: str) -> bool:
    """Return whether HAProxy reads a value as true (``env(X) -m bool``).

    It reads the integer at the beginning of the value: ``true``, ``yes`` and ``on`` are false.
    """
    number = _NUMBER.match(value)
    return number is not None and int(number[0]) != 0


def passes(dialect: Dialect, on: Collection[str], method: str, path: str) -> bool:
    """Return whether a proxy allows a request; ``on`` are the variables that are on."""

    def begins(pattern: str) -> bool:
        return re.match(pattern, path, re.IGNORECASE | re.ASCII) is not None

    is_action = any(
        begins(f"{_CONTAINER}/({'|'.join(words)})") for name, words in ACTIONS.items() if name in on
    )
    if dialect == "linuxserver":
        parts = [word for name, (word, _) in PART_SWITCHES.items() if name not in on]
        if parts and begins(f"{_CONTAINER}/({'|'.join(parts)})"):
            return False
        if is_action:
            return True
    if method not in {"GET", "HEAD"} and "POST" not in on:
        return False
    return is_action or any(begins(f"{_PREFIX}/{_path(name)}") for name in SECTIONS if name in on)


def detect_dialect(settings: Sequence[Setting]) -> Dialect:
    """Return the proxy that reads these variables, or Tecnativa's if both mean the same.

    Raises ``SettingsError`` if the two differ and the variables do not identify one, and if no
    proxy reads any of the variables.
    """
    given = {setting.name: setting for setting in settings}
    if any(name.startswith("SP_") for name in given):
        return "wollomatic"
    if KNOWN.isdisjoint(given) and not any(name.startswith(_PODMAN) for name in given):
        raise SettingsError("FILE", "", "holds no variable of a socket proxy that is known")
    if any(name.startswith(_PODMAN) or name in PART_SWITCHES for name in given):
        return "linuxserver"
    acts = [name for name in ACTIONS if name in given and is_on(given[name].value)]
    if acts and not ("POST" in given and is_on(given["POST"].value)):
        raise SettingsError(
            given[acts[0]].place,
            acts[0],
            "without POST=1 it opens something in linuxserver's proxy and nothing in Tecnativa's: "
            "say which with --dialect",
        )
    return "tecnativa"


def read_switches(dialect: Dialect, settings: Sequence[Setting]) -> Permissions:
    """Return what a proxy with these settings allows."""
    values = {**dict.fromkeys(ON_BY_DEFAULT, "1"), **{one.name: one.value for one in settings}}
    on = frozenset(
        name
        for name in {*SECTIONS, *ACTIONS, *PART_SWITCHES, "POST"} & values.keys()
        if is_on(values[name])
    )
    refused_routes = {
        operation.id
        for method, path, operation in ROUTES
        if not passes(dialect, on, method, example(path))
    }
    opened = frozenset(OPERATIONS.keys() - refused_routes)
    sections = {section: _level(name, on, opened) for name, section in SECTIONS.items()}
    parts = {part: name in on for name, (_, part) in PART_SWITCHES.items() if name in values}
    refused = {part for part, is_open in parts.items() if not is_open and dialect == "tecnativa"}
    if not mount_validation.is_true(values.get("DELETE", "1")):
        refused.add(REMOVAL.id)
    return Permissions(
        opened,
        sections,
        selected=frozenset(part for part, is_open in parts.items() if is_open),
        refused=frozenset(refused),
        notes=tuple(
            _note(dialect, setting, on, sections)
            for setting in [*settings, *_unset(dialect, settings, on)]
            if setting.name not in mount_validation.VARIABLES
        ),
    )


def _unset(dialect: Dialect, settings: Sequence[Setting], on: Collection[str]) -> Iterator[Setting]:
    """Yield the default settings that have an effect."""
    given = {setting.name for setting in settings}
    for name in ON_BY_DEFAULT:
        if name not in given:
            yield Setting(name, "1", "")
    for name in PART_SWITCHES:
        if name not in given and dialect == "linuxserver" and "CONTAINERS" in on:
            yield Setting(name, "0", "")


def _path(name: str) -> str:
    return "_ping" if name == "PING" else SECTIONS[name]


def _level(name: str, on: Collection[str], opened: Collection[str]) -> Level:
    """Return the level of a variable's section: no higher than its operations need."""
    access = {OPERATIONS[id_].access for id_ in opened if OPERATIONS[id_].section == SECTIONS[name]}
    if name not in on or not access:
        return "none"
    return "write" if "POST" in on and "write" in access else "read"


def _note(
    dialect: Dialect, setting: Setting, on: Collection[str], sections: Mapping[str, Level]
) -> Note:
    """Return the note of a variable; a setting without a place is a default."""
    name, subject = setting.name, str(setting) if setting.place else f"{setting} (default)"
    if name in NO_COUNTERPART:
        return Note("no counterpart", subject, NO_COUNTERPART[name])
    if name.startswith(_PODMAN):
        return Note("no counterpart", subject, "Podman's API, of which dockerd has nothing")
    if name not in KNOWN:
        return Note("unknown", name, f"this proxy does not read it{_hint(name)}")
    if name in PART_SWITCHES:
        return _part_note(dialect, setting, subject, name in on)
    if name == "DELETE":
        return Note("carried over", subject, _delete(setting, on))
    return _switch(setting, subject, name in on, _opened(dialect, name, on, sections))


def _hint(name: str) -> str:
    """Return what an unknown variable may be meant as, as the end of a sentence.

    The name of a method is no misspelt name of a switch.
    """
    if set(METHODS).isdisjoint(name.split("_")):
        return nearest(name, KNOWN)
    return ": POST is its only variable for a method"


def _opened(dialect: Dialect, name: str, on: Collection[str], sections: Mapping[str, Level]) -> str:
    """Return what a switch allows, as keys of the configuration."""
    if name == "POST":
        return "sections are opened for writing" if name in on else "sections are only read"
    if name in SECTIONS:
        level = sections[SECTIONS[name]]
        nothing = name in on and level == "none"
        why = ", as there is nothing to read: POST=1 is missing" if nothing else ""
        return f"sections.{SECTIONS[name]}: {level}{why}"
    if name not in on:
        return "opens nothing"
    if dialect == "tecnativa" and "POST" not in on:
        return "opens nothing: without POST=1 this proxy refuses every write"
    return "operations: " + ", ".join(f"container.{word}: allow" for word in ACTIONS[name])


def _switch(setting: Setting, subject: str, on: bool, text: str) -> Note:
    """Return the note of a switch: a warning if it is off and its value suggests on."""
    if not on and not setting.value:
        return Note("warning", subject, f"{text}. It has no value here, so it is off")
    if not on and setting.value.strip().lower() not in _OFF:
        mistaken = "HAProxy reads numbers alone, so it is off; set it to 1 if on is meant"
        return Note("warning", subject, f"{text}. {mistaken}")
    return Note("carried over", subject, text)


def _part_note(dialect: Dialect, setting: Setting, subject: str, on: bool) -> Note:
    word = PART_SWITCHES[setting.name][1]
    text = f"{word}: {'open, as far as its section is' if on else 'closed'}"
    if dialect == "linuxserver":
        return _switch(setting, subject, on, text)
    text += "; this proxy does not read the variable"
    return Note("carried over" if on else "stricter", subject, text)


def _delete(setting: Setting, on: Collection[str]) -> str:
    if not mount_validation.is_true(setting.value):
        return f"nothing may be removed: see {REMOVAL.id}"
    if "POST" in on:
        return "what POST=1 opens: no proxy reads this variable"
    return "opens nothing: no proxy reads it, and without POST=1 this one refuses every write"
