"""What a proxy allows, as operations and sections of the policy configuration.

The readers of each dialect return it, and ``translation`` makes a configuration of it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Dialect = Literal["tecnativa", "linuxserver", "wollomatic"]

DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

Kind = Literal[
    "carried over", "stricter", "wider", "warning", "no counterpart", "unknown", "client"
]

Level = Literal["none", "read", "write"]

METHODS: Final = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "OPTIONS",
)  # fmt: skip

_WILDCARD: Final = re.compile(r"\{.+?\}")


@dataclass(frozen=True, slots=True)
class Note:
    """What a setting was converted to; ``subject`` is the setting, or the id of a difference."""

    kind: Kind
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a proxy allows.

    ``operations`` are the ids of the allowed operations, ``sections`` the levels of sections, empty
    if the proxy's settings do not name sections. ``selected`` and ``refused`` are ids of
    differences that the settings allow or deny by name.
    """

    operations: frozenset[str]
    sections: Mapping[str, Level] = field(default_factory=dict)
    selected: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class MountSettings:
    """What the settings say of mounts and privileged mode, which are in request bodies.

    ``roots`` are host paths that can be mounted. ``checked`` is whether the settings have a check
    of mounts. ``privileged`` is whether containers can be privileged; None if there is no setting.
    """

    roots: tuple[str, ...] = ()
    checked: bool = False
    privileged: bool | None = None
    notes: tuple[Note, ...] = ()


def example(template: str, name: str = "x") -> str:
    """Return the path of a route with a name in place of its wildcards."""
    return _WILDCARD.sub(lambda _: name, template)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most similar to an unknown one, as the end of a sentence."""
    folded = {word.lower(): word for word in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f", did you mean {folded[close[0]]}?" if close else ""
