"""wollomatic's proxy, which is set by regular expressions: one or more for each method.

Expressions say which paths they let through; a policy says which operations are open. An operation
is opened if the expressions let every name through that a thing of its kind can have, with an API
version or without. Sources: wollomatic/socket-proxy 41d9f30 ``internal/config``, README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from authz_plugin.dockerd.routes import OPERATIONS, ROUTES
from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import workspace
from authz_plugin.tools.importer.differences import CLOSED
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.permissions import Note, Permissions, example, nearest

METHODS: Final = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "OPTIONS",
)  # fmt: skip

MOUNTS: Final = "allowbindmountfrom"

ELSEWHERE: Final[Mapping[str, str]] = {
    "allowfrom": "dockerd names a caller by TLS certificate: roles, and `opa-authz identity add`",
    "allowhealthcheck": "metrics.listen serves health",
    "listenip": "dockerd asks the plugin on a socket of its own: there is no address to bind",
    "logjson": "log.format: json",
    "loglevel": "log.level, whose levels are others",
    "proxycontainername": "a client is a role; rules in labels are not carried over",
    "proxyport": "dockerd asks the plugin on a socket of its own: there is no port to bind",
    "proxysocketendpoint": "dockerd keeps its own socket, and asks about whoever is on it",
    "proxysocketendpointfilemode": "dockerd keeps its own socket, with its owner and mode",
    "shutdowngracetime": "nothing flows through the plugin that it would have to wait for",
    "socketpath": "dockerd asks the plugin, not the other way round",
    "stoponwatchdog": "dockerd denies while there is no plugin; systemd restarts it",
    "watchdoginterval": "dockerd denies while there is no plugin; systemd restarts it",
}
"""Flags without counterpart, each with what there is instead."""

_SWITCHES: Final = frozenset({"allowhealthcheck", "logjson", "stoponwatchdog"})
_FLAGS: Final = (*(f"allow{method}" for method in METHODS), MOUNTS, *ELSEWHERE)
_VARIABLES: Final[Mapping[str, str]] = {
    **{f"SP_ALLOW_{method}": f"allow{method}" for method in METHODS},
    **{f"SP_{flag.upper()}": flag for flag in (MOUNTS, *ELSEWHERE)},
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
"""Names that things of a kind have: what lets through some of them alone is for single things."""

_VERSIONS: Final = ("", *(f"/v1.{minor}" for minor in range(24, 53)))


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression for the requests of a method.

    The proxy writes ``^`` before it and ``$`` after it, and so a ``|`` outside of parentheses
    frees one side each: ``loose`` is what the proxy makes of it, ``exact`` what its author means.
    """

    method: str
    setting: Setting
    exact: re.Pattern[str]
    loose: re.Pattern[str]

    @classmethod
    def read(cls, method: str, setting: Setting) -> Expression:
        """Raises ``SettingsError`` for what is no expression."""
        found = _GLOBAL.match(setting.value)
        flags = found[0] if found else ""
        try:
            exact = re.compile(setting.value, re.ASCII)
            loose = re.compile(f"{flags}^{setting.value[len(flags) :]}\\Z", re.ASCII)
        except re.error as error:
            message = f"{setting.value} is not understood: {error}"
            raise SettingsError(setting.place, setting.name, message) from error
        return cls(method, setting, exact, loose)

    def takes(self, form: _Form) -> bool:
        return self.method in form.methods and self.exact.fullmatch(form.path) is not None

    def lets_slip(self, form: _Form) -> bool:
        return self.method in form.methods and self.loose.search(form.path) is not None


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to ask for an operation: a path, and the methods by which it can be asked."""

    methods: frozenset[str]
    path: str


def read_expressions(
    settings: Sequence[Setting], command: Sequence[str], labelled: Sequence[str]
) -> tuple[Permissions, tuple[str, ...]]:
    """What the proxy permits, and the paths that it lets containers mount; raises
    ``SettingsError``.

    ``command`` are its flags, which go before variables of the same meaning; ``labelled`` are the
    services that have expressions in their labels.
    """
    notes: list[Note] = []
    expressions: list[Expression] = []
    roots: list[str] = []
    for flag, setting in _parameters(settings, command, notes):
        if flag in ELSEWHERE:
            notes.append(Note("no counterpart", str(setting), ELSEWHERE[flag]))
        elif flag == MOUNTS:
            paths = workspace.read_paths(setting)
            text = f"mounts.allow: {', '.join(paths)}, with what lies below"
            notes.append(Note("carried over", str(setting), text))
            roots += paths
        else:
            expressions.append(Expression.read(flag.removeprefix("allow"), setting))
    opened = frozenset(id_ for id_ in OPERATIONS if _is_open(id_, expressions))
    notes += [_note(expression, opened) for expression in expressions]
    notes += [note for expression in expressions for note in _slips(expression, opened)]
    if any(not _is_taken(expressions, form) for id_ in opened for form in _forms(id_)):
        text = "an operation is open with and without an API version; to dockerd it is the same"
        notes.append(Note("wider", "API versions", text))
    for name in labelled:
        notes.append(Note("no counterpart", f"labels of {name}", ELSEWHERE["proxycontainername"]))
    return Permissions(opened, asked=_asked(expressions), notes=tuple(notes)), tuple(roots)


def _parameters(
    settings: Sequence[Setting], command: Sequence[str], notes: list[Note]
) -> Iterator[tuple[str, Setting]]:
    """Flags and what stands for flags, as far as the proxy reads it."""
    flags = list(_flags(command))
    yield from flags
    flagged = {flag for flag, _ in flags}
    for setting in settings:
        numbered = _NUMBERED.fullmatch(setting.name)
        flag = _VARIABLES.get(numbered[1] if numbered else setting.name)
        if setting.name in workspace.VARIABLES:
            continue
        if flag is None:
            text = f"this proxy does not read it{nearest(setting.name, _VARIABLES)}"
            notes.append(Note("unknown", setting.name, text))
        elif flag in flagged:
            notes.append(Note("carried over", str(setting), f"not read: -{flag} goes before it"))
        elif setting.value:
            yield flag, setting


def _flags(command: Sequence[str]) -> Iterator[tuple[str, Setting]]:
    """A command line as Go's ``flag`` reads it; raises ``SettingsError``."""
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
    """Whether every path of an operation is let through, with some version or without one."""
    templates = {path for _, path, operation in ROUTES if operation.id == id_}
    return all(
        any(
            all(_is_taken(expressions, form) for form in _named(id_, template, version))
            for version in _VERSIONS
        )
        for template in templates
    )


def _is_taken(expressions: Sequence[Expression], form: _Form) -> bool:
    return any(expression.takes(form) for expression in expressions)


@cache
def _named(id_: str, template: str, version: str) -> tuple[_Form, ...]:
    """The forms of a route that differ in the name alone."""
    operation = OPERATIONS[id_]
    methods = {m for m, path, other in ROUTES if path == template and other is operation}
    paths = {example(template, name) for name in _BY_KIND[operation.kind]}
    by = frozenset("GET" if method == "ANY" else method for method in methods)
    return tuple(_Form(by, version + path) for path in sorted(paths))


@cache
def _forms(id_: str) -> tuple[_Form, ...]:
    """Every form of an operation."""
    return tuple(
        form
        for _, template, operation in ROUTES
        if operation.id == id_
        for version in _VERSIONS
        for form in _named(id_, template, version)
    )


def _note(expression: Expression, opened: frozenset[str]) -> Note:
    """What came of an expression."""
    touched = [id_ for id_ in OPERATIONS if any(map(expression.takes, _forms(id_)))]
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


def _slips(expression: Expression, opened: frozenset[str]) -> Iterator[Note]:
    """What the proxy lets through although the expression does not say so."""
    slipped = [
        id_
        for id_ in sorted(OPERATIONS.keys() - opened)
        if any(expression.lets_slip(form) and not expression.takes(form) for form in _forms(id_))
    ]
    if slipped:
        text = (
            f"{', '.join(slipped)} closed: the proxy lets them through, as the | stands outside "
            "of parentheses"
        )
        yield Note("stricter", str(expression.setting), text)


def _asked(expressions: Sequence[Expression]) -> frozenset[str]:
    """The differences that an expression asks for by name."""
    return frozenset(
        difference.id
        for difference in CLOSED
        for word in difference.words
        for expression in expressions
        if re.search(rf"(?<!\w){word}(?!\w)", expression.setting.value)
    )
