"""What dockerd keeps on disk of the containers and volumes that a request names.

A request that starts a container says nothing of its mounts, and a container that uses a volume
says nothing of the path that the volume binds. Beside ``hostpaths`` this is the only thing of the
host that a decision reads, and like there, what cannot be read is unknown. Sources: moby 20.10.24
and 28.5.2 ``container/container.go`` (``config.v2.json``, ``hostconfig.json``),
``volume/local/local.go`` (``opts.json``), ``daemon/container.go`` (GetContainer),
``cmd/dockerd/daemon.go`` (a folder for each remapped user namespace).
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

DAEMON_FILE: Final = Path("/etc/docker/daemon.json")
DEFAULT_ROOT: Final = Path("/var/lib/docker")

_CONFIG: Final = "config.v2.json"
_HOST_CONFIG: Final = "hostconfig.json"
_LARGEST: Final = 16 << 20
"""Bytes of a file, at most; a container's environment and labels are the greater part of it."""
_MOST_CONTAINERS: Final = 20_000
_YOUNG: Final = 1_000_000_000
"""Nanoseconds within which a file system may give two changes the same time."""
_ID: Final = re.compile(r"[0-9a-f]{64}")
_REMAPPED: Final = re.compile(r"\d+\.\d+")
_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)


class Unknown(Exception):  # noqa: N818 - what is not known is no error here
    """The state cannot be read, or does not hold what was asked for."""


class EngineState(Protocol):
    """dockerd's own files, as far as this plugin can see them."""

    @property
    def is_seen(self) -> bool:
        """Whether the plugin shares dockerd's file system at all."""

    def mount_points(self, reference: str) -> list[Any]:
        """The mount points, as dockerd stores them, of every container that a name, an id or the
        beginning of one may mean; raises ``Unknown``."""

    def volume_options(self, name: str) -> Any:
        """The options of a volume of the local driver as dockerd stores them, or None for a volume
        that has none or does not exist yet; raises ``Unknown``."""


class UnseenEngineState:
    """dockerd's files are on another host: nothing is known."""

    is_seen = False

    def mount_points(self, reference: str) -> list[Any]:
        raise Unknown(reference)

    def volume_options(self, name: str) -> Any:
        raise Unknown(name)


@dataclass(frozen=True, slots=True)
class _Names:
    """What a container is called: by itself, and by the links of other containers to it.

    ``seen`` tells whether its files are still those that the names were read from: dockerd replaces
    them as a whole, which changes their folder. ``links`` are references of the linked containers
    with the names that they get. No name has a leading slash.
    """

    seen: tuple[int, int]
    own: str
    links: tuple[tuple[str, str], ...]


class LocalEngineState:
    """dockerd and this plugin share one file system; ``root`` is dockerd's ``data-root``."""

    is_seen = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, _Names] = {}

    def mount_points(self, reference: str) -> list[Any]:
        found = list(self._containers(reference.removeprefix("/")))
        if not found:
            raise Unknown(f"there is no container {reference} in {self.root} (data_root)")
        points: list[Any] = []
        for folder in found:
            stored = _read(folder / _CONFIG).get("MountPoints") or {}
            if not isinstance(stored, dict):
                raise Unknown(f"{folder / _CONFIG} is not what dockerd writes")
            points += stored.values()
        return points

    def volume_options(self, name: str) -> Any:
        if _VOLUME_NAME.fullmatch(name) is None:
            return None  # no name of the local driver's
        for root in self._roots("volumes"):
            file = root / name / "opts.json"
            try:
                return _read(file)
            except FileNotFoundError:
                continue
        return None

    def _containers(self, reference: str) -> Iterator[Path]:
        """The folders of all containers that dockerd may take a reference for.

        dockerd takes a whole id, then an exact name, among them those that links of other
        containers give (``/web/db`` is what web calls its link db), then the only id that begins
        so. All that could be meant count here.
        """
        roots = list(self._roots("containers"))
        if _ID.fullmatch(reference):
            exact = [root / reference for root in roots if (root / reference).is_dir()]
            if exact:
                yield from exact
                return
        names = {entry.path: self._named(entry) for root in roots for entry in _listed(root)}
        self._names = names
        meant = {reference}
        for named in names.values():
            meant |= {child for child, alias in named.links if alias == reference}
        beginnings = tuple(word for word in meant if word)
        for folder, named in names.items():
            if named.own in meant or folder.rpartition("/")[2].startswith(beginnings):
                yield Path(folder)

    def _named(self, entry: os.DirEntry[str]) -> _Names:
        seen = _state_of(entry)
        known = self._names.get(entry.path)
        if known is not None and known.seen == seen:
            return known
        if time.time_ns() - seen[1] < _YOUNG:
            seen = (0, 0)
        folder = Path(entry.path)
        own = _read(folder / _CONFIG).get("Name")
        links = _read(folder / _HOST_CONFIG).get("Links") or []
        if not isinstance(own, str) or not isinstance(links, list):
            raise Unknown(f"{folder} is not what dockerd writes")
        own = own.removeprefix("/")
        return _Names(seen, own, tuple(pair for link in links for pair in _link(own, str(link))))

    def _roots(self, what: str) -> Iterator[Path]:
        """The folders of containers or volumes: one, and one for each remapped user namespace."""
        try:
            inner = [entry for entry in os.scandir(self.root) if _REMAPPED.fullmatch(entry.name)]
        except OSError as error:
            raise Unknown(f"{self.root} (data_root) cannot be read: {error.strerror}") from error
        found = [root / what for root in (self.root, *map(Path, inner)) if (root / what).is_dir()]
        if not found:
            raise Unknown(f"{self.root} (data_root) holds no dockerd's {what}")
        yield from found


def data_root(daemon_file: Path = DAEMON_FILE) -> Path:
    """Where dockerd keeps its state, as its settings say, or its default."""
    try:
        said = _read(daemon_file).get("data-root")
    except (FileNotFoundError, Unknown):
        return DEFAULT_ROOT
    return Path(said) if isinstance(said, str) and said.startswith("/") else DEFAULT_ROOT


def _link(own: str, link: str) -> Iterator[tuple[str, str]]:
    """The linked container and each name that a link (``db:alias``) of a container can give it
    (moby 28.5.2 ``daemon/daemon_unix.go`` registerLinks, ``opts/opts.go`` ParseLink)."""
    child, colon, alias = link.partition(":")
    for name in (f"/{own}/{alias if colon else child}", f"/{alias}"):
        yield child.removeprefix("/"), posixpath.normpath(name).lstrip("/")


def _listed(root: Path) -> list[os.DirEntry[str]]:
    try:
        found = [entry for entry in os.scandir(root) if _ID.fullmatch(entry.name)]
    except OSError as error:
        raise Unknown(f"{root} cannot be read: {error.strerror}") from error
    if len(found) > _MOST_CONTAINERS:
        raise Unknown(f"{root} holds more than {_MOST_CONTAINERS} containers")
    return found


def _state_of(folder: os.DirEntry[str]) -> tuple[int, int]:
    try:
        found = folder.stat(follow_symlinks=False)
    except OSError as error:
        raise Unknown(f"{folder.path} cannot be read: {error.strerror}") from error
    return found.st_ino, found.st_mtime_ns


def _read(file: Path) -> Mapping[str, Any]:
    """An object in a file; raises ``FileNotFoundError`` without a file, else ``Unknown``."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise Unknown(f"{file} cannot be read: {error}") from error
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise Unknown(f"{file} is no file, or too large")
        try:
            content = orjson.loads(opened.read(_LARGEST + 1))
        except (OSError, ValueError, RecursionError) as error:
            raise Unknown(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise Unknown(f"{file} is not what dockerd writes")
    return content
