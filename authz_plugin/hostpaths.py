"""The product's own host paths; the resolution of host paths, and the mounts below them.

dockerd follows symbolic links when it mounts a path, so policies must compare the resolved path.
Links can change between the decision and the mount: see docs/explanation/threat-model.md.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

DEFAULT_FILE: Final = Path("/etc/opa-authz/config.yaml")
"""The default settings file."""

DEFAULT_IDENTITIES: Final = DEFAULT_FILE.parent / "identities"
"""The default folder of ``opa-authz identity``."""

SYSTEM_SOCKET: Final = Path("/run/docker/plugins/opa-authz.sock")
"""The plugin's default socket for root, in a folder in which dockerd searches for plugins."""

FLEET_FOLDER: Final = Path("/var/lib/opa-authz/fleet")
"""Where the policy of a fleet is kept, unless the settings name another folder."""

SYSTEM_CACHE: Final = Path("/var/cache/opa-authz")
"""The folder of compiled policies for root."""

RUNTIME_PREFIX: Final = "opa-authz-"
"""The prefix of the name of a running plugin's private folder."""

GUARDED: Final = (
    "/etc/docker",
    "/run/docker/plugins",
    "/usr/lib/docker/plugins",
    "/usr/local/lib/docker/plugins",
    str(DEFAULT_FILE.parent),
    str(SYSTEM_CACHE),
    str(FLEET_FOLDER.parent),
)
"""Folders whose content determines whether and how dockerd asks the plugin."""

GUARDED_PREFIXES: Final = (f"/run/{RUNTIME_PREFIX}", f"/run/.{RUNTIME_PREFIX}")
"""The prefixes of root's private folders: the final name, and the name during creation."""

_NO_NAMES: Final = frozenset({"", ".", ".."})
"""Parts of a path that are no names of files."""

_MOUNTS: Final = "/proc/1/mountinfo"
"""The mounts in the mount namespace of the host's first process (proc(5)). It is read each time,
because poll reports mounts and unmounts, but not that a folder above a mount was renamed."""

_PLAIN: Final = re.compile(rb"[A-Za-z0-9/._-]*")
"""A path without characters that mountinfo escapes."""

_PIECE: Final = 1 << 16

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")

_PATH_MAX: Final = 4096
"""The maximum length of a path on Linux in bytes, with the terminating zero (``PATH_MAX``)."""


def _shipped() -> Path:
    inside = Path(__file__).with_name("policies")
    return inside if inside.is_dir() else Path(__file__).parents[1] / "policies"


SHIPPED: Final = _shipped()
"""The folder of the policies in this package, or of the checkout."""


class Resolution(NamedTuple):
    """A resolved path. ``resolved`` is the path after following symbolic links, even if its last
    parts do not exist, or None if it cannot be determined."""

    resolved: str | None
    exists: bool


class HostPaths(Protocol):
    """The host's file system, as far as this plugin can access it."""

    def resolve(self, path: str) -> Resolution:
        """Follow the symbolic links of an absolute, lexically clean path."""

    def holds_mounts(self, path: str) -> bool | None:
        """Whether anything is mounted below a resolved path; None if that is not known."""


class LocalHostPaths:
    """The file system of this process, which is also dockerd's."""

    def resolve(self, path: str) -> Resolution:
        try:
            if len(path.encode()) >= _PATH_MAX or "\0" in path:
                return Resolution(None, exists=False)
        except ValueError:
            return Resolution(None, exists=False)
        return _without_links(path) or _through_links(path)

    def holds_mounts(self, path: str) -> bool | None:
        below = f"{path.rstrip('/')}/".encode()
        try:
            table = _content(_MOUNTS)
            is_table = b" / " in table and table.endswith(b"\n")
            if is_table and _PLAIN.fullmatch(below) and b" " + below not in table:
                return False  # no field of any line begins with it
            points = (line.split(b" ")[4] for line in table.splitlines())
            return any(_unescaped(point).startswith(below) for point in points)
        except (OSError, IndexError):
            return None


def _content(file: str) -> bytes:
    """The content of a file of proc; raises ``OSError``. ``open`` takes as long as the reading."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(descriptor, _PIECE):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def _unescaped(point: bytes) -> bytes:
    """A mount point with the octal escapes of mountinfo decoded (proc(5))."""
    if b"\\" not in point:
        return point
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), point)


def _without_links(path: str) -> Resolution | None:
    """The resolution of an absolute path without ``..`` and the like whose existing parts are no
    symbolic links. None for another path, or if a part cannot be looked at."""
    before, *parts = path.split("/") if path != "/" else ("",)
    if before or not _NO_NAMES.isdisjoint(parts):
        return None
    prefix = ""
    for part in parts:
        prefix += f"/{part}"
        try:
            mode = os.lstat(prefix).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return Resolution(path, exists=False)
        except OSError:
            return None
        if stat.S_ISLNK(mode):
            return None
    return Resolution(path, exists=True)


def _through_links(path: str) -> Resolution:
    try:
        resolved = os.path.realpath(path)
        resolved.encode()  # fails on a link to a name that is not UTF-8
    except (OSError, ValueError):
        return Resolution(None, exists=False)
    try:
        os.stat(resolved)  # noqa: PTH116 - fails on what realpath left: a loop of links
    except (FileNotFoundError, NotADirectoryError):
        # A link that is left is part of a loop through a missing file, which the kernel does not
        # report as a loop.
        return _without_links(resolved) or Resolution(None, exists=False)
    except (OSError, ValueError):
        return Resolution(None, exists=False)
    return Resolution(resolved, exists=True)


class UnseenHostPaths:
    """dockerd's file system if this plugin cannot access it: every result is unknown."""

    def resolve(self, path: str) -> Resolution:
        del path
        return Resolution(None, exists=False)

    def holds_mounts(self, path: str) -> bool | None:
        del path
        return None


class PlainHostPaths:
    """A host on which every path exists and none is a symbolic link or holds a mount, for examples
    that are the same on every host."""

    def resolve(self, path: str) -> Resolution:
        return Resolution(path, exists=True)

    def holds_mounts(self, path: str) -> bool | None:
        del path
        return False


def host_paths(*, visible: bool) -> HostPaths:
    """The host's file system; ``visible`` is whether this process shares it with dockerd."""
    return LocalHostPaths() if visible else UnseenHostPaths()


def default_socket(environment: Mapping[str, str], *, root: bool) -> Path:
    """Return the plugin's default socket: ``SYSTEM_SOCKET`` for root, else one below
    ``XDG_RUNTIME_DIR`` or ~/.cache/opa-authz."""
    if root:
        return SYSTEM_SOCKET
    return runtime_home(environment, root=False) / "docker/plugins/opa-authz.sock"


def cache_home(environment: Mapping[str, str], *, root: bool) -> Path:
    """Return the folder in which compiled policies are kept."""
    if root:
        return SYSTEM_CACHE
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opa-authz/policies"


def runtime_home(environment: Mapping[str, str], *, root: bool) -> Path:
    """Return the folder in which running plugins create their private folders."""
    if root:
        return Path("/run")
    return Path(environment.get("XDG_RUNTIME_DIR") or Path.home() / ".cache/opa-authz")


def check_private(found: os.stat_result) -> None:
    """Raise ``PermissionError`` if another user can change a file or folder; ``found`` is its
    status."""
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("another user can change it")
