"""Where each key of the settings was set."""

from __future__ import annotations

from dataclasses import dataclass, field

Key = tuple[str | int, ...]
"""The path of a key, such as ``("mounts", "allow", 0, "path")``."""


@dataclass(slots=True)
class KeyOrigins:
    """The place where each key was set: ``FILE:LINE``, an environment variable or an option."""

    _default: str
    _places: dict[Key, str] = field(default_factory=dict)

    def put(self, key: Key, place: str) -> None:
        self._places[key] = place

    def rename(self, old: Key, new: Key) -> None:
        """Rename a key and the keys inside it."""
        self._places = {
            (*new, *key[len(old) :]) if key[: len(old)] == old else key: place
            for key, place in self._places.items()
        }

    def of(self, key: Key) -> str:
        """The place of a key, or of the nearest key that contains it, or the default."""
        for end in range(len(key), 0, -1):
            if key[:end] in self._places:
                return self._places[key[:end]]
        return self._default


def show(key: Key) -> str:
    """A key for messages: ``mounts.allow[0].path``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
