"""What dockerd stores on disk about the containers and volumes that a request names.

A request that starts a container does not contain its mounts, and a request that mounts a volume
does not contain the path that the volume binds. Besides these files, a decision depends on the host
only through ``hostpaths``. Files that cannot be read raise ``Unknown``. Sources: moby 20.10.24 and
28.5.2 ``container/container.go`` (``config.v2.json``, ``hostconfig.json``),
``volume/local/local.go`` (``opts.json``), ``daemon/container.go`` (GetContainer),
``cmd/dockerd/daemon.go`` (a folder for each remapped user namespace).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import orjson

DAEMON_FILE: Final = Path("/etc/docker/daemon.json")
DEFAULT_ROOT: Final = Path("/var/lib/docker")

_CONFIG: Final = "config.v2.json"
_HOST_CONFIG: Final = "hostconfig.json"
_LARGEST: Final = 16 << 20
"""The maximum size of a file, in bytes; most of it are a container's environment and labels."""
_MOST_CONTAINERS: Final = 20_000
_YOUNG: Final = 1_000_000_000
"""Nanoseconds within which two changes may get the same time stamp from a file system."""
_ID: Final = re.compile(r"[0-9a-f]{64}")
_REMAPPED: Final = re.compile(r"\d+\.\d+")
_LINK_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
"""The form of a link's alias that results in a name of the form ``CONTAINER/ALIAS``."""
_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)


class Unknown(Exception):  # noqa: N818 - missing state is not an error here
    """The state cannot be read, or does not contain the object."""


class EngineState(Protocol):
    """dockerd's files, as far as this plugin can read them."""

    @property
    def is_seen(self) -> bool:
        """Whether the plugin shares dockerd's file system."""

    def mount_points(self, reference: str) -> list[Any]:
        """The mount points, as dockerd stores them, of every container that ``reference``, a name
        or the beginning of an id, may refer to; raises ``Unknown``."""

    def volume_options(self, name: str) -> list[Any]:
        """The options, as dockerd stores them, of every volume of the local driver that has this
        name and options; raises ``Unknown``."""


class UnseenEngineState:
    """The state if dockerd's files are not accessible: every method raises ``Unknown``."""

    is_seen = False

    def mount_points(self, reference: str) -> list[Any]:
        raise Unknown(reference)

    def volume_options(self, name: str) -> list[Any]:
        raise Unknown(name)


class NoEngineState:
    """The state of a host without containers and volumes: every method returns an empty list."""

    is_seen = True

    def mount_points(self, reference: str) -> list[Any]:
        del reference
        return []

    def volume_options(self, name: str) -> list[Any]:
        del name
        return []


class _Names(NamedTuple):
    """The name of a container, and whether its links give names to other containers.

    ``seen`` are inode and mtime of its folder when its files were read; they change with the files,
    because dockerd replaces whole files. ``own`` is its name without the slash. ``links`` is
    whether it has links, ``odd_links`` whether a link may result in a name without a slash.
    """

    seen: tuple[int, int]
    own: str
    links: bool
    odd_links: bool


class LocalEngineState:
    """The state in dockerd's ``data-root``, on a file system that this plugin shares. ``root`` is
    None if the folder is not known; then every method raises ``Unknown``."""

    is_seen = True

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._names: dict[str, _Names] = {}
        self._remapped: tuple[tuple[int, int], list[str]] = ((0, 0), [])

    def mount_points(self, reference: str) -> list[Any]:
        points: list[Any] = []
        is_found = False
        for folder in self._containers(reference.removeprefix("/")):
            try:
                stored = _read(folder / _CONFIG).get("MountPoints") or {}
            except FileNotFoundError:
                continue  # removed meanwhile
            if not isinstance(stored, dict):
                raise Unknown(f"{folder / _CONFIG} is not what dockerd writes")
            is_found = True
            points += stored.values()
        if not is_found:
            raise Unknown(f"there is no container {reference} in {self.root} (data_root)")
        return points

    def volume_options(self, name: str) -> list[Any]:
        if _VOLUME_NAME.fullmatch(name) is None:
            return []  # not a valid name for the local driver
        found: list[Any] = []
        for root in self._roots("volumes"):
            with contextlib.suppress(FileNotFoundError):
                found.append(_read(f"{root}/{name}/opts.json"))
        return found

    def _containers(self, reference: str) -> Iterator[Path]:
        """The folders of all containers that dockerd may resolve a reference to.

        dockerd tries a complete id, then an exact name, then a unique beginning of an id. A link
        gives the linked container a further, unique name (``/web/db``). These files do not show
        which container has such a name: the linked container may have been renamed, and a link to a
        container in another one's network namespace names that other one (28.5.2
        ``daemon/daemon_unix.go`` registerLinks, ``daemon/rename.go``). Therefore a reference that
        is no container's own name, but may be the name from a link, yields every container.
        """
        roots = list(self._roots("containers"))
        if _ID.fullmatch(reference):
            exact = [folder for root in roots if (folder := Path(root, reference)).is_dir()]
            if exact:
                yield from exact
                return
        if not reference:
            return
        names: dict[str, _Names] = {}
        for entry in (entry for root in roots for entry in _listed(root)):
            named = self._named(entry)
            if named is not None:
                names[entry.path] = named
        self._names = names
        is_own = any(named.own == reference for named in names.values())
        means_any = not is_own and any(
            named.odd_links or (named.links and "/" in reference) for named in names.values()
        )
        for path, named in names.items():
            id_ = path.rpartition("/")[2]
            if means_any or named.own == reference or id_.startswith(reference):
                yield Path(path)

    def _named(self, entry: os.DirEntry[str]) -> _Names | None:
        """The names of a container, or None for a folder without one (or one that was removed)."""
        try:
            seen = _state_of(entry)
            known = self._names.get(entry.path)
            if known is not None and known.seen == seen:
                return known
            own = _read(Path(entry.path, _CONFIG)).get("Name")
        except FileNotFoundError:
            return None
        if time.time_ns() - seen[1] < _YOUNG:
            seen = (0, 0)
        try:
            links = _read(Path(entry.path, _HOST_CONFIG)).get("Links") or []
        except FileNotFoundError:  # being created, or removed
            return _Names((0, 0), _name(own, entry), links=True, odd_links=True)
        if not isinstance(links, list) or not all(isinstance(link, str) for link in links):
            raise Unknown(f"{entry.path} is not what dockerd writes")
        odd = any(_LINK_NAME.fullmatch(_alias(link)) is None for link in links)
        return _Names(seen, _name(own, entry), links=bool(links), odd_links=odd)

    def _roots(self, what: str) -> Iterator[str]:
        """The existing folders of containers or volumes: below the data root, and below it for each
        remapped user namespace; raises ``Unknown`` if there are none."""
        if self.root is None:
            raise Unknown(f"{DAEMON_FILE} does not tell dockerd's data-root (set data_root)")
        try:
            inner = self._remapped_roots(self.root)
        except OSError as error:
            raise Unknown(f"{self.root} (data_root) cannot be read: {error.strerror}") from error
        folders = [f"{root}/{what}" for root in (self.root, *inner)]
        found = [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112 - quicker
        if not found:
            raise Unknown(f"{self.root} (data_root) holds no dockerd's {what}")
        yield from found

    def _remapped_roots(self, root: Path) -> list[str]:
        """The data roots of remapped user namespaces, which are read again if ``root`` changed."""
        found = os.stat(root)  # noqa: PTH116 - quicker
        seen = found.st_ino, found.st_mtime_ns
        if self._remapped[0] == seen:
            return self._remapped[1]
        with os.scandir(root) as entries:
            inner = [entry.path for entry in entries if _REMAPPED.fullmatch(entry.name)]
        if time.time_ns() - found.st_mtime_ns >= _YOUNG:
            self._remapped = seen, inner
        return inner


def data_root(daemon_file: Path = DAEMON_FILE) -> Path | None:
    """The data root in dockerd's configuration file, or dockerd's default.

    None if the file cannot be read or its value is not certain, because containers that an earlier
    dockerd left in the default folder must not be taken for the present ones. ``graph`` is the
    deprecated name of ``data-root`` in 20.10 (``daemon/config/config.go`` RootDeprecated).
    """
    try:
        settings = _read(daemon_file)
    except FileNotFoundError:
        return DEFAULT_ROOT
    except Unknown:
        return None
    said = settings.get("data-root")
    if "graph" in settings:
        return None
    if said is None or said == "":
        return DEFAULT_ROOT
    return Path(said) if isinstance(said, str) and said.startswith("/") else None


def engine_state(root: Path | None, *, visible: bool) -> EngineState:
    """The state below ``root``, or below the data root that daemon.json names.

    ``visible`` is whether this process shares dockerd's file system; if not, no state is known.
    """
    return LocalEngineState(root or data_root()) if visible else UnseenEngineState()


def _name(stored: object, folder: os.DirEntry[str]) -> str:
    if not isinstance(stored, str):
        raise Unknown(f"{folder.path} is not what dockerd writes")
    return stored.removeprefix("/")


def _alias(link: str) -> str:
    """The alias of a link (``db:alias``), by default the name of the linked container (moby 28.5.2
    ``opts/opts.go`` ParseLink)."""
    child, colon, alias = link.partition(":")
    if not colon:
        return child
    return alias.rpartition("/")[2] if child.startswith("/") else alias


def _listed(root: str) -> list[os.DirEntry[str]]:
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
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unknown(f"{folder.path} cannot be read: {error.strerror}") from error
    return found.st_ino, found.st_mtime_ns


def _read(file: str | Path) -> Mapping[str, Any]:
    """The JSON object in a file; raises ``FileNotFoundError``, or ``Unknown`` for other faults."""
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
