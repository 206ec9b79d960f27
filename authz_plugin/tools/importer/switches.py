"""The proxies that are set by switches: Tecnativa's, and linuxserver's, which descends from it.

Owns their variables, defaults and the order of their rules, as facts. Each variable opens the paths
that begin with its name, ``POST`` every method but GET and HEAD. Sources:
Tecnativa/docker-socket-proxy a6fbf38 ``haproxy.cfg``, ``Dockerfile``, and pull request 173 (pause);
linuxserver/docker-socket-proxy ab9f088 ``root/templates/haproxy.cfg``, ``Dockerfile``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from authz_plugin.dockerd.routes import OPERATIONS, ROUTES
from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import workspace
from authz_plugin.tools.importer.differences import REMOVAL
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.permissions import (
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
"""Variables that open a section of the API, which has the same name here."""

ON_BY_DEFAULT: Final = ("EVENTS", "PING", "VERSION")
"""Switches that are on unless they are set; ``POST`` and all others are off."""

ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "ALLOW_PAUSE": ("pause",),
    "ALLOW_RESTARTS": ("stop", "restart", "kill"),
    "ALLOW_START": ("start",),
    "ALLOW_STOP": ("stop",),
    "ALLOW_UNPAUSE": ("unpause",),
}
"""Variables that open single actions on a container. Tecnativa's proxy asks for ``POST`` first,
linuxserver's does not."""

GATES: Final[Mapping[str, tuple[str, str]]] = {
    "ALLOW_ARCHIVE": ("archive", "archive"),
    "ALLOW_CHANGES": ("change", "changes"),
    "ALLOW_EXPORT": ("export", "export"),
    "ALLOW_LOGS": ("logs", "logs"),
    "ALLOW_TOP": ("top", "top"),
}
"""Variables without which linuxserver's proxy denies a part of ``CONTAINERS``: how that part's
path begins, and the difference that it is here. Tecnativa's proxy reads none."""

ELSEWHERE: Final[Mapping[str, str]] = {
    "DISABLE_IPV6": "dockerd asks the plugin on a socket of its own: there is no port to bind",
    "LOG_LEVEL": "log.level in the settings, whose levels are others",
    "PGID": "the plugin runs as a service of the host",
    "PUID": "the plugin runs as a service of the host",
    "SOCKET_PATH": "dockerd asks the plugin, not the other way round",
    "TZ": "times are in UTC",
}
"""Variables without counterpart, each with what there is instead."""

KNOWN: Final = frozenset(
    {*SECTIONS, *ACTIONS, *GATES, *ELSEWHERE, *workspace.VARIABLES, "DELETE", "POST"}
)
"""Every variable that is known."""

_PODMAN: Final = "LIBPOD_"
_NUMBER: Final = re.compile(r"[+-]?\d+")
_OFF: Final = frozenset({"0", "false", "no", "off"})
_PREFIX: Final = r"(/v[\d.]+)?"
_CONTAINER: Final = rf"{_PREFIX}/containers/[a-zA-Z0-9_.-]+"


def is_on(value: str) -> bool:
    """Whether HAProxy takes a value for true (``env(X) -m bool``): it reads the integer that the
    value begins with, and nothing else. ``true``, ``yes`` and ``on`` are off."""
    number = _NUMBER.match(value)
    return number is not None and int(number[0]) != 0


def passes(dialect: Dialect, on: Collection[str], method: str, path: str) -> bool:
    """Whether a proxy lets a request through; ``on`` are the variables that are on."""

    def begins(pattern: str) -> bool:
        return re.match(pattern, path, re.IGNORECASE | re.ASCII) is not None

    acted = any(
        begins(f"{_CONTAINER}/({'|'.join(words)})") for name, words in ACTIONS.items() if name in on
    )
    if dialect == "linuxserver":
        gates = [word for name, (word, _) in GATES.items() if name not in on]
        if gates and begins(f"{_CONTAINER}/({'|'.join(gates)})"):
            return False
        if acted:
            return True
    if method not in {"GET", "HEAD"} and "POST" not in on:
        return False
    return acted or any(begins(f"{_PREFIX}/{_path(name)}") for name in SECTIONS if name in on)


def tell_dialect(settings: Sequence[Setting]) -> Dialect:
    """Which of the three proxies reads these variables; Tecnativa's where it makes no difference.

    Raises ``SettingsError`` where it makes one and nothing tells, and where none reads any.
    """
    given = {setting.name: setting for setting in settings}
    if any(name.startswith("SP_") for name in given):
        return "wollomatic"
    if KNOWN.isdisjoint(given) and not any(name.startswith(_PODMAN) for name in given):
        raise SettingsError("FILE", "", "holds no variable of a socket proxy that is known")
    if any(name.startswith(_PODMAN) or name in GATES for name in given):
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
    """What a proxy permits that is set like this."""
    values = {**dict.fromkeys(ON_BY_DEFAULT, "1"), **{one.name: one.value for one in settings}}
    on = frozenset(
        name
        for name in {*SECTIONS, *ACTIONS, *GATES, "POST"} & values.keys()
        if is_on(values[name])
    )
    refused_routes = {
        operation.id
        for method, path, operation in ROUTES
        if not passes(dialect, on, method, example(path))
    }
    opened = frozenset(OPERATIONS.keys() - refused_routes)
    sections = {section: _level(name, on, opened) for name, section in SECTIONS.items()}
    gates = {gate: name in on for name, (_, gate) in GATES.items() if name in values}
    refused = {gate for gate, is_open in gates.items() if not is_open and dialect == "tecnativa"}
    if not workspace.says_yes(values.get("DELETE", "1")):
        refused.add(REMOVAL.id)
    return Permissions(
        opened,
        sections,
        asked=frozenset(gate for gate, is_open in gates.items() if is_open),
        refused=frozenset(refused),
        notes=tuple(
            _note(dialect, setting, on, sections)
            for setting in [*settings, *_unset(dialect, settings, on)]
            if setting.name not in workspace.VARIABLES
        ),
    )


def _unset(dialect: Dialect, settings: Sequence[Setting], on: Collection[str]) -> Iterator[Setting]:
    """The defaults that make a difference."""
    given = {setting.name for setting in settings}
    for name in ON_BY_DEFAULT:
        if name not in given:
            yield Setting(name, "1", "")
    for name in GATES:
        if name not in given and dialect == "linuxserver" and "CONTAINERS" in on:
            yield Setting(name, "0", "")


def _path(name: str) -> str:
    return "_ping" if name == "PING" else SECTIONS[name]


def _level(name: str, on: Collection[str], opened: Collection[str]) -> Level:
    """How far a variable opens its section, and no further than there is something to open."""
    access = {OPERATIONS[id_].access for id_ in opened if OPERATIONS[id_].section == SECTIONS[name]}
    if name not in on or not access:
        return "none"
    return "write" if "POST" in on and "write" in access else "read"


def _note(
    dialect: Dialect, setting: Setting, on: Collection[str], sections: Mapping[str, Level]
) -> Note:
    """What became of a variable; one without a place was not set."""
    name, subject = setting.name, str(setting) if setting.place else f"{setting} (default)"
    if name in ELSEWHERE:
        return Note("no counterpart", subject, ELSEWHERE[name])
    if name.startswith(_PODMAN):
        return Note("no counterpart", subject, "Podman's API, of which dockerd has nothing")
    if name not in KNOWN:
        return Note("unknown", name, f"this proxy does not read it{nearest(name, KNOWN)}")
    if name in GATES:
        return _gate(dialect, setting, subject, name in on)
    if name == "DELETE":
        return Note("carried over", subject, _delete(setting, on))
    return _switch(setting, subject, name in on, _opened(dialect, name, on, sections))


def _opened(dialect: Dialect, name: str, on: Collection[str], sections: Mapping[str, Level]) -> str:
    """What a switch opens, as keys of the configuration."""
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
    """A switch; one that was surely meant to be on and is off is said aloud."""
    if not on and not setting.value:
        return Note("warning", subject, f"{text}. It has no value here, so it is off")
    if not on and setting.value.strip().lower() not in _OFF:
        mistaken = "HAProxy reads numbers alone, so it is off; set it to 1 if on is meant"
        return Note("warning", subject, f"{text}. {mistaken}")
    return Note("carried over", subject, text)


def _gate(dialect: Dialect, setting: Setting, subject: str, on: bool) -> Note:
    word = GATES[setting.name][1]
    text = f"{word}: {'open, as far as its section is' if on else 'closed'}"
    if dialect == "linuxserver":
        return _switch(setting, subject, on, text)
    text += "; this proxy does not read the variable"
    return Note("carried over" if on else "stricter", subject, text)


def _delete(setting: Setting, on: Collection[str]) -> str:
    if not workspace.says_yes(setting.value):
        return f"nothing may be removed: see {REMOVAL.id}"
    if "POST" in on:
        return "what POST=1 opens: no proxy reads this variable"
    return "opens nothing: no proxy reads it, and without POST=1 this one refuses every write"
