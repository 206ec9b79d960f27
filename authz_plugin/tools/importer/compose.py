"""Reads the services of a compose file, as far as an import needs them.

These are ``image``, ``environment``, ``env_file``, ``command`` and ``labels``, in which variables
of the environment and of the ``.env`` file in the same folder are substituted. ``extends`` and
``include`` are not supported: the output of ``docker compose config`` can be imported instead.
"""

from __future__ import annotations

import io
import shlex
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer.dotenv import Setting, read_dotenv, substitute

_SERVICE_KEYS: Final = frozenset({"image", "environment", "env_file", "command"})


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a compose file.

    ``name`` is empty if the file contains the definition of one service alone. ``settings`` are its
    variables; of several with the same name, the last is in force. ``place`` is ``FILE:LINE``.
    """

    name: str
    image: str
    settings: tuple[Setting, ...]
    command: tuple[str, ...]
    labels: Mapping[str, str]
    place: str


def is_compose(text: str) -> bool:
    """Return whether a text is a compose file, or the definition of one service."""
    try:
        document = YAML(typ="safe").load(text)
    except YAMLError:
        return False
    return isinstance(document, Mapping) and bool(document.keys() & (_SERVICE_KEYS | {"services"}))


def read_compose(
    file: str, text: str, folder: Path, environment: Mapping[str, str]
) -> list[Service]:
    """Read the services of a compose file.

    ``file`` is its name in error messages, ``folder`` the folder of its relative paths, and
    ``environment`` has the variables that can be substituted. Raises ``SettingsError`` with file
    and line.
    """
    try:
        document = YAML(typ="rt").load(io.StringIO(text))
    except MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise SettingsError(f"{file}{line}", "", f"is not YAML: {error.problem}") from error
    except YAMLError as error:
        raise SettingsError(file, "", f"is not YAML: {error}") from error
    if not isinstance(document, Mapping):
        raise SettingsError(file, "", "is no compose file: it is not a mapping")
    dotenv = folder / ".env"
    beside = read_dotenv(str(dotenv), _text(dotenv, file), environment) if dotenv.exists() else []
    known = ChainMap(dict(environment), {setting.name: setting.value for setting in beside})
    described = document.get("services") if "services" in document else {"": document}
    if not isinstance(described, Mapping) or not described:
        place = f"{file}:{_line(document, 'services')}"
        raise SettingsError(place, "services", "is no mapping of services")
    return [
        _ServiceReader(file, folder, known).service(str(name), node, _line(described, name))
        for name, node in described.items()
        if isinstance(node, Mapping)
    ]


class _ServiceReader:
    """Reads the services of one file; ``known`` are the variables that can be substituted."""

    def __init__(self, file: str, folder: Path, known: Mapping[str, str]) -> None:
        self._file = file
        self._folder = folder
        self._known = known

    def service(self, name: str, node: Mapping[str, Any], line: int) -> Service:
        place = f"{self._file}:{line}"
        if "extends" in node:
            message = "extends is not followed: import the output of `docker compose config`"
            raise SettingsError(place, name, message)
        labels = {one.name: one.value for one in self._pairs(node, "labels", place)}
        return Service(
            name,
            self._substituted(node.get("image"), place),
            (*self._env_files(node, place), *self._pairs(node, "environment", place)),
            tuple(self._command(node.get("command"), place)),
            labels,
            place,
        )

    def _pairs(self, node: Mapping[str, Any], key: str, place: str) -> Iterator[Setting]:
        """Read a mapping of names and values, or a list of ``NAME=value``."""
        given = node.get(key)
        if isinstance(given, Mapping):
            for name, value in given.items():
                yield from self._setting(str(name), value, self._place(given, name, place))
        elif isinstance(given, Sequence) and not isinstance(given, str):
            for i, item in enumerate(given):
                name, equals, value = str(item).partition("=")
                where = self._place(given, i, place)
                yield from self._setting(name.strip(), value if equals else None, where)
        elif given is not None:
            where = self._place(node, key, place)
            raise SettingsError(where, key, "is neither a mapping nor a list")

    def _setting(self, name: str, value: Any, place: str) -> Iterator[Setting]:
        if value is not None:
            yield Setting(name, self._substituted(value, place), place)
        elif name in self._known:
            yield Setting(name, self._known[name], place)

    def _env_files(self, node: Mapping[str, Any], place: str) -> Iterator[Setting]:
        given = node.get("env_file")
        for entry in given if isinstance(given, list) else [] if given is None else [given]:
            options = entry if isinstance(entry, Mapping) else {"path": entry}
            path = self._folder / self._substituted(options.get("path"), place)
            if path.exists() or options.get("required", True):
                yield from read_dotenv(str(path), _text(path, place), self._known)

    def _command(self, given: Any, place: str) -> Iterator[str]:
        if isinstance(given, str):
            yield from shlex.split(self._substituted(given, place))
        elif given is not None:
            yield from (self._substituted(word, place) for word in given)

    def _substituted(self, value: Any, place: str) -> str:
        return substitute(_scalar(value), place, self._known)

    def _place(self, node: Any, key: Any, otherwise: str) -> str:
        line = _line(node, key)
        return f"{self._file}:{line}" if line else otherwise


def _line(node: Any, key: Any) -> int:
    """Return the line of a key or an item, or 0 if a merge key (``<<``) added it."""
    if isinstance(node, CommentedMap | CommentedSeq) and key in (node.lc.data or {}):
        return int(node.lc.data[key][0]) + 1
    return 0


def _scalar(value: Any) -> str:
    """Return a scalar as the text that Compose passes to a container."""
    if isinstance(value, TaggedScalar):
        value = value.value
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _text(path: Path, place: str) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise SettingsError(place, "", f"{path} cannot be read: {error.strerror}") from error
