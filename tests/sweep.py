"""Input documents with one key removed or one text replaced, for which denials must remain."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Place = tuple[Any, ...]
"""The path of a key: ``("mounts", 0, "path")``."""


def without_each_part(document: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield each key that shipped rules can read, with the document without it."""
    for place in _places(document):
        if place[0] in {"request", "time"} or place[:2] == ("operation", "resource"):
            continue
        yield place, without(document, place)


def poisoned(document: dict[str, Any], text: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield each text of a client, with the document in which ``text`` replaces it."""
    for place in _places(document):
        if place[0] in {"operation", "caller"} or place in {("phase",), ("body_state",)}:
            continue
        changed, node = _with_own(document, place[:-1])
        if isinstance(node[place[-1]], str):
            node[place[-1]] = text
            yield place, changed


def _places(node: Any, place: Place = ()) -> Iterator[Place]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(node, dict):
            yield (*place, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*place, key))


def without(document: dict[str, Any], place: Place) -> dict[str, Any]:
    """A document without the key at a place; what is not on the way there is shared."""
    changed, node = _with_own(document, place[:-1])
    del node[place[-1]]
    return changed


def _with_own(document: dict[str, Any], place: Place) -> tuple[dict[str, Any], Any]:
    """A copy of a document with its own mapping or list at a place, and that mapping or list; the
    rest is shared."""
    changed = node = copy.copy(document)
    for key in place:
        node[key] = copy.copy(node[key])
        node = node[key]
    return changed, node
