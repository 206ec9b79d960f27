"""What it means that a path of the host is mounted.

The directories of the operating system and the danger of each are annotations of the rule
``mounts.source``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from authz_plugin.rules import RULES

_SYSTEM: Final = RULES["mounts.source"].danger.values

_TOO_WIDE: Final = frozenset(
    {"/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/lib", "/var/tmp"}  # noqa: S108 - names, not files
)
_HOME: Final = 3
"""Parts of ``/home/alice``."""

_KEYS: Final = frozenset({".aws", ".azure", ".config", ".docker", ".gnupg", ".kube", ".ssh"})


def danger(path: str, protected: Iterable[str] = ()) -> str:
    """What can be reached by a mount of a clean absolute path, as a text; empty for no danger.

    ``protected`` are paths of which the configuration allows no part to be mounted.
    """
    return next(_dangers(path, protected), "")


def below(path: str, root: str) -> bool:
    """Whether a clean path is ``root`` or lies below it."""
    return path == root or path.startswith(f"{root.rstrip('/')}/")


def related(path: str, other: str) -> bool:
    """Whether two clean paths are the same or one lies below the other."""
    return below(path, other) or below(other, path)


def _dangers(path: str, protected: Iterable[str]) -> Iterator[str]:
    if path == "/":
        yield "the whole host: root on it"
    protected = sorted(set(protected))
    yield from (f"{other} is protected" for other in protected if below(path, other))
    yield from (text for root, text in _SYSTEM.items() if below(path, root))
    yield from (f"holds {other}, which is protected" for other in protected if below(other, path))
    if path in _TOO_WIDE:
        yield f"all of {path}, whoever's it is"
    parts = path.split("/")
    if parts[1] == "home" and len(parts) == _HOME:
        yield "all that a user of the host has, keys and settings too"
    if not _KEYS.isdisjoint(parts):
        yield "keys and settings of a user of the host"
    if path.endswith(".sock"):
        yield "a socket: who listens there does what it is told"
