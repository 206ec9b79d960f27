"""A wish: what one denial asks of the configuration, and what granting it would mean.

Owns the sorts of changes, and which of them a configuration can say at all: what a client writes is
never taken for a pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import jsonschema

from authz_plugin.configuration import config_schema

Key = tuple[str, ...]
"""A key of the configuration: ``("capabilities", "allow")``."""

_PATTERN: Final = frozenset("*[]{}\\")


class Bind(NamedTuple):
    """A host path that is mounted: as it is written, and where its links lead."""

    path: str
    resolved: str
    read_only: bool


class Ports(NamedTuple):
    """Ports of the host, from the first to the last."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Add:
    """One more entry in a list."""

    key: Key
    item: str | Bind | Ports


@dataclass(frozen=True, slots=True)
class Drop:
    """An entry out of a list or a map."""

    key: Key
    item: str


@dataclass(frozen=True, slots=True)
class Put:
    """Another value."""

    key: Key
    value: bool | str


@dataclass(frozen=True, slots=True)
class Reach:
    """A bound wide enough for a value; None is no bound. It is a ceiling unless ``is_floor``."""

    key: Key
    value: float | None
    is_floor: bool = False


Change = Add | Drop | Put | Reach


@dataclass(frozen=True, slots=True)
class Wish:
    """What one denial asks for.

    ``value`` is how an operator names it beside the rule, empty where the rule knows one thing
    only. ``danger`` is what granting it means; what has none is granted as far as it was used.
    """

    rule: str
    value: str
    changes: tuple[Change, ...]
    danger: str = ""


def can_be_written(change: Change) -> bool:
    """Whether a configuration can say it, and then says no more than it."""
    match change:
        case Add(key, str(item)):
            plain = item.isprintable() and _PATTERN.isdisjoint(item)
            return plain and _entries(key).is_valid(item)
        case Put(key, value) | Reach(key, value):
            return _values(key).is_valid(value)
    return True


@cache
def _entries(key: Key) -> jsonschema.Draft202012Validator:
    return _validator(_followed(_schema(key)["items"]))


@cache
def _values(key: Key) -> jsonschema.Draft202012Validator:
    return _validator(_schema(key))


def _validator(schema: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "$defs": _whole()["$defs"]})


@cache
def _whole() -> dict[str, Any]:
    return config_schema()


def _schema(key: Key) -> Mapping[str, Any]:
    """The schema of what a key holds; a name that the client chose has that of any such name."""
    found: Mapping[str, Any] = _whole()
    for name in key:
        properties = found.get("properties", {})
        found = _followed(properties[name] if name in properties else found["additionalProperties"])
    return found


def _followed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    found: Mapping[str, Any] = _whole()["$defs"].get(name, schema)
    return found
