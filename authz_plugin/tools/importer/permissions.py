"""What a proxy permits, in our words: what reading its settings comes to.

The one shape between the dialects, which fill it in, and the configuration that is made of it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Dialect = Literal["tecnativa", "linuxserver", "wollomatic"]

DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

Kind = Literal["carried over", "stricter", "wider", "warning", "no counterpart", "unknown"]

Level = Literal["none", "read", "write"]

_WILDCARD: Final = re.compile(r"\{.+?\}")


@dataclass(frozen=True, slots=True)
class Note:
    """What became of something: ``subject`` is the setting, or the id of a difference."""

    kind: Kind
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a proxy lets through.

    ``operations`` are those it opens, ``sections`` how far its settings say that whole sections
    are open (empty where they say nothing of sections). ``asked`` and ``refused`` are ids of
    differences: what the settings ask for by name, or say no to.
    """

    operations: frozenset[str]
    sections: Mapping[str, Level] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Bodies:
    """What the settings say of requests' bodies: ``roots`` are paths of the host that may be
    mounted, ``checked`` whether mounts were looked at before, ``privileged`` whether containers
    may be privileged, or None where nothing is said of it."""

    roots: tuple[str, ...] = ()
    checked: bool = False
    privileged: bool | None = None
    notes: tuple[Note, ...] = ()


def example(template: str, name: str = "x") -> str:
    """The path of a route with a name in the place of its wildcards."""
    return _WILDCARD.sub(lambda _: name, template)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like an unknown one, as the end of a sentence."""
    folded = {word.lower(): word for word in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f", did you mean {folded[close[0]]}?" if close else ""
