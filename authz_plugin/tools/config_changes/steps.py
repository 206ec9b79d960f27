"""Changes of the policy configuration, and which of them a configuration can express exactly.

A text that a client wrote is never entered where the configuration would read it as a pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from authz_plugin.configuration import config_schema
from authz_plugin.rules import Key
from authz_plugin.settings import conforms

_PATTERN: Final = frozenset("*[]{}\\")
_HUB: Final = "docker.io/"


class Bind(NamedTuple):
    """A host path that is mounted: as the request writes it, and with its symbolic links resolved.

    Both are clean absolute paths.
    """

    path: str
    resolved: str
    read_only: bool


class Ports(NamedTuple):
    """Ports of the host, from ``first`` to ``last``, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AddEntry:
    """Add an entry to the list at ``key``."""

    key: Key
    item: str | Bind | Ports


@dataclass(frozen=True, slots=True)
class RemoveEntry:
    """Remove an entry from the list or the map at ``key``."""

    key: Key
    item: str


@dataclass(frozen=True, slots=True)
class SetValue:
    """Give ``key`` another value."""

    key: Key
    value: bool | str


@dataclass(frozen=True, slots=True)
class WidenLimit:
    """Raise the maximum at ``key`` to ``value``, or lower it if it ``is_minimum``.

    ``value`` None removes the limit.
    """

    key: Key
    value: float | None
    is_minimum: bool = False


Step = AddEntry | RemoveEntry | SetValue | WidenLimit


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """The change of the configuration that one denial asks for.

    ``value`` is what ``--grant RULE=VALUE`` names it by, empty where the rule denies one thing
    only. ``danger`` is what the change makes possible, as a text; a change without one is granted
    without ``--grant``.
    """

    rule: str
    value: str
    steps: tuple[Step, ...]
    danger: str = ""


def is_expressible(step: Step) -> bool:
    """Whether the configuration's schema accepts a step, and its value is read literally."""
    match step:
        case AddEntry(key, str(item)):
            return is_literal(item) and conforms(item, _schema(key)["items"], _whole())
        case SetValue(key, value) | WidenLimit(key, value):
            return conforms(value, _schema(key), _whole())
    return True


def place(config: Any, key: Key) -> dict[str, Any]:
    """The map that holds the last part of a key; maps that are missing on the way are added."""
    for name in key[:-1]:
        config = config.setdefault(name, {})
    found: dict[str, Any] = config
    return found


def written(key: Key, item: Any) -> Any:
    """An entry of a list as an operator writes it."""
    match item:
        case Bind(path=path, read_only=read_only):
            return {"path": path, "read_only": True} if read_only else {"path": path}
        case Ports(first, last):
            return {"first": first, "last": last}
        case str() if key[0] == "images":
            return _short(item)
    return item


def is_literal(text: str) -> bool:
    """Whether a text is printable and has no character that means something in a pattern."""
    return text.isprintable() and _PATTERN.isdisjoint(text)


@cache
def _whole() -> dict[str, Any]:
    return config_schema()


def _schema(key: Key) -> Mapping[str, Any]:
    """The schema of the value at a key.

    A name that is no property of its map, such as that of an operation, has the schema of the
    map's ``additionalProperties``.
    """
    found: Mapping[str, Any] = _whole()
    for name in key:
        properties = found.get("properties", {})
        found = _followed(properties[name] if name in properties else found["additionalProperties"])
    return found


def _followed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    found: Mapping[str, Any] = _whole()["$defs"].get(name, schema)
    return found


def _short(image: str) -> str:
    """A pattern of images without ``docker.io/``, if the plugin reads both as the same."""
    rest = image.removeprefix(_HUB)
    host, slash, name = rest.partition("/")
    if rest == image or not slash or not host.isalnum() or host == "localhost":
        return image
    return name if host == "library" and "/" not in name else rest
