"""Reads the settings of wollomatic's proxy: regular expressions for each HTTP method.

An expression allows paths, a policy allows operations. An operation is allowed if the expressions
match its path with every form of name, with some API version or without one. Source:
wollomatic/socket-proxy 41d9f30 ``internal/config``, README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from authz_plugin.dockerd.routes import OPERATIONS, ROUTES
from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import mount_validation
from authz_plugin.tools.importer.differences import CLOSED
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.permissions import METHODS, Note, Permissions, example, nearest

MOUNTS: Final = "allowbindmountfrom"

NO_COUNTERPART: Final[Mapping[str, str]] = {
    "allowfrom": "dockerd names a caller by TLS certificate: roles, and `opa-authz identity add`",
    "allowhealthcheck": "metrics.listen serves health",
    "listenip": "dockerd asks the plugin on a socket of its own: there is no address to bind",
    "logjson": "log.format: json",
    "loglevel": "log.level, whose levels are others",
    "proxycontainername": "a client with rules in its labels is a role",
    "proxyport": "dockerd asks the plugin on a socket of its own: there is no port to bind",
    "proxysocketendpoint": "dockerd keeps its own socket, and asks about whoever is on it",
    "proxysocketendpointfilemode": "dockerd keeps its own socket, with its owner and mode",
    "shutdowngracetime": "nothing flows through the plugin that it would have to wait for",
    "socketpath": "dockerd asks the plugin, not the other way round",
    "stoponwatchdog": "dockerd denies while there is no plugin; systemd restarts it",
    "watchdoginterval": "dockerd denies while there is no plugin; systemd restarts it",
}
"""Flags without a counterpart in the configuration, each with what to use instead."""

_SWITCHES: Final = frozenset({"allowhealthcheck", "logjson", "stoponwatchdog"})
_FLAGS: Final = (*(f"allow{method}" for method in METHODS), MOUNTS, *NO_COUNTERPART)
_VARIABLES: Final[Mapping[str, str]] = {
    **{f"SP_ALLOW_{method}": f"allow{method}" for method in METHODS},
    **{f"SP_{flag.upper()}": flag for flag in (MOUNTS, *NO_COUNTERPART)},
}
_NUMBERED: Final = re.compile(r"(SP_ALLOW_[A-Z]+)_.*")
_GLOBAL: Final = re.compile(r"\(\?[a-z]+\)")

_HEX: Final = "0123456789abcdef" * 4
_NAMES: Final = ("web", "my_app.1-x", _HEX, _HEX[:12])
_SWARM_ID: Final = "0123456789abcdefghijklmno"
_BY_KIND: Final[Mapping[str | None, tuple[str, ...]]] = {
    None: ("x",),
    "config": (_SWARM_ID,),
    "container": _NAMES,
    "exec": (_HEX,),
    "image": ("alpine", "alpine:3.20", "registry.example:5000/team/app:1.0", f"sha256:{_HEX}"),
    "network": _NAMES,
    "node": (_SWARM_ID,),
    "plugin": ("sshfs", "vieux/sshfs:latest"),
    "secret": (_SWARM_ID,),
    "service": ("web", _SWARM_ID),
    "task": (_SWARM_ID,),
    "volume": _NAMES,
}
"""Forms of names by kind. An expression that does not match all of them is for single objects."""

_VERSIONS: Final = ("", *(f"/v1.{minor}" for minor in range(24, 53)))


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression for the requests of a method.

    The proxy adds ``^`` at the beginning and ``$`` at the end. With a ``|`` outside of parentheses,
    each alternative is therefore anchored on one side only: ``effective`` is the expression of the
    proxy, ``intended`` the one that is anchored on both sides.
    """

    method: str
    setting: Setting
    intended: re.Pattern[str]
    effective: re.Pattern[str]

    @classmethod
    def read(cls, method: str, setting: Setting) -> Expression:
        """Compile the value of a setting; raises ``SettingsError`` if it is not an expression."""
        found = _GLOBAL.match(setting.value)
        flags = found[0] if found else ""
        try:
            intended = re.compile(setting.value, re.ASCII)
            effective = re.compile(f"{flags}^{setting.value[len(flags) :]}\\Z", re.ASCII)
        except re.error as error:
            message = f"{setting.value} is not understood: {error}"
            raise SettingsError(setting.place, setting.name, message) from error
        return cls(method, setting, intended, effective)

    def matches(self, path: _Path) -> bool:
        """Return whether the expression, as intended, allows a path."""
        return self.method in path.methods and self.intended.fullmatch(path.path) is not None

    def proxy_matches(self, path: _Path) -> bool:
        """Return whether the proxy allows a path by the expression."""
        return self.method in path.methods and self.effective.search(path.path) is not None


@dataclass(frozen=True, slots=True)
class _Path:
    """A path of an operation, with the HTTP methods that request it."""

    methods: frozenset[str]
    path: str


def read_expressions(
    settings: Sequence[Setting], command: Sequence[str]
) -> tuple[Permissions, tuple[str, ...]]:
    """Return what the proxy allows, and the host paths that containers can mount.

    ``command`` are its flags, which override variables of the same meaning. Raises
    ``SettingsError`` for settings that the proxy would not start with.
    """
    notes: list[Note] = []
    expressions: list[Expression] = []
    roots: list[str] = []
    for flag, setting in _parameters(settings, command, notes):
        if flag in NO_COUNTERPART:
            notes.append(Note("no counterpart", str(setting), NO_COUNTERPART[flag]))
        elif flag == MOUNTS:
            paths = mount_validation.read_paths(setting)
            text = f"mounts.allow: {', '.join(paths)}, with what lies below"
            notes.append(Note("carried over", str(setting), text))
            roots += paths
        else:
            expressions.append(Expression.read(flag.removeprefix("allow"), setting))
    opened = frozenset(id_ for id_ in OPERATIONS if _is_open(id_, expressions))
    notes += [_note(expression, opened) for expression in expressions]
    notes += [
        note for expression in expressions for note in _unintended_matches(expression, opened)
    ]
    if any(not _is_allowed(expressions, path) for id_ in opened for path in _paths(id_)):
        text = "an operation is open with and without an API version; to dockerd it is the same"
        notes.append(Note("wider", "API versions", text))
    return Permissions(opened, selected=_selected(expressions), notes=tuple(notes)), tuple(roots)


def reads_labels(settings: Sequence[Setting], command: Sequence[str]) -> bool:
    """Return whether the proxy reads rules in the labels of its clients."""
    return any(flag == "proxycontainername" for flag, _ in _parameters(settings, command, []))


def _parameters(
    settings: Sequence[Setting], command: Sequence[str], notes: list[Note]
) -> Iterator[tuple[str, Setting]]:
    """Yield flags, and variables as the flags of the same meaning, as the proxy reads them."""
    flags = list(_flags(command))
    yield from flags
    flagged = {flag for flag, _ in flags}
    for setting in settings:
        numbered = _NUMBERED.fullmatch(setting.name)
        flag = _VARIABLES.get(numbered[1] if numbered else setting.name)
        if setting.name in mount_validation.VARIABLES:
            continue
        if flag is None:
            text = f"this proxy does not read it{nearest(setting.name, _VARIABLES)}"
            notes.append(Note("unknown", setting.name, text))
        elif flag in flagged:
            notes.append(Note("carried over", str(setting), f"not read: -{flag} goes before it"))
        elif setting.value:
            yield flag, setting


def _flags(command: Sequence[str]) -> Iterator[tuple[str, Setting]]:
    """Yield the flags of a command line as Go's ``flag`` parses it; raises ``SettingsError``."""
    words = iter(command)
    for word in words:
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not word.startswith("-") or name not in _FLAGS:
            message = f"wollomatic's proxy has no such flag{nearest(name, _FLAGS)}"
            raise SettingsError("command", word, message)
        if not equals:
            value = "true" if name in _SWITCHES else next(words, "")
        yield name, Setting(f"-{name}", value, "command")


def _is_open(id_: str, expressions: Sequence[Expression]) -> bool:
    """Return whether every path of an operation is allowed, with some version or without one."""
    templates = {path for _, path, operation in ROUTES if operation.id == id_}
    return all(
        any(
            all(_is_allowed(expressions, path) for path in _paths_of_route(id_, template, version))
            for version in _VERSIONS
        )
        for template in templates
    )


def _is_allowed(expressions: Sequence[Expression], path: _Path) -> bool:
    return any(expression.matches(path) for expression in expressions)


@cache
def _paths_of_route(id_: str, template: str, version: str) -> tuple[_Path, ...]:
    """Return the paths of a route that differ in the name only."""
    operation = OPERATIONS[id_]
    methods = {m for m, path, other in ROUTES if path == template and other is operation}
    paths = {example(template, name) for name in _BY_KIND[operation.kind]}
    by = frozenset("GET" if method == "ANY" else method for method in methods)
    return tuple(_Path(by, version + path) for path in sorted(paths))


@cache
def _paths(id_: str) -> tuple[_Path, ...]:
    """Return all paths of an operation."""
    return tuple(
        path
        for _, template, operation in ROUTES
        if operation.id == id_
        for version in _VERSIONS
        for path in _paths_of_route(id_, template, version)
    )


def _note(expression: Expression, opened: frozenset[str]) -> Note:
    """Return the note of an expression: the operations that it allows, in whole or in part."""
    touched = [id_ for id_ in OPERATIONS if any(map(expression.matches, _paths(id_)))]
    whole = sorted(opened.intersection(touched))
    part = sorted(set(touched) - opened)
    if not touched:
        return Note("warning", str(expression.setting), "matches no operation of the Docker API")
    texts = []
    if whole:
        texts.append(f"operations: {', '.join(whole)}")
    if part:
        texts.append(f"in part, and so not opened: {', '.join(part)}")
    return Note("warning" if part else "carried over", str(expression.setting), "; ".join(texts))


def _unintended_matches(expression: Expression, opened: frozenset[str]) -> Iterator[Note]:
    """Yield a note if the proxy allows operations by the expression that it does not intend."""
    unintended = [
        id_
        for id_ in sorted(OPERATIONS.keys() - opened)
        if any(
            expression.proxy_matches(path) and not expression.matches(path) for path in _paths(id_)
        )
    ]
    if unintended:
        text = (
            f"{', '.join(unintended)} closed: the proxy lets them through, as the | stands outside "
            "of parentheses"
        )
        yield Note("stricter", str(expression.setting), text)


def _selected(expressions: Sequence[Expression]) -> frozenset[str]:
    """Return the differences whose words are in an expression."""
    return frozenset(
        difference.id
        for difference in CLOSED
        for word in difference.words
        for expression in expressions
        if re.search(rf"(?<!\w){word}(?!\w)", expression.setting.value)
    )
