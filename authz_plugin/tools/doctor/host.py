"""Facts about a host: dockerd's process and settings, accounts and file permissions."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from authz_plugin.tools.docker_client import Endpoint

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SHORT: Final[Mapping[str, str]] = {"--host": "-H", "--debug": "-D", "--log-level": "-l"}


@dataclass(frozen=True, slots=True)
class Process:
    """A running dockerd: its process id, command line (argv) and effective uid."""

    pid: int
    arguments: Sequence[str]
    uid: int

    def values(self, flag: str) -> list[str]:
        """Return each value of a flag such as ``"--host"``, in the order of the command line.

        The short form of the flag counts too. A flag without a value has the value ``"true"``.
        """
        names = {flag, _SHORT.get(flag, flag)}
        found = []
        for position, word in enumerate(self.arguments[1:], 1):
            name, equals, value = word.partition("=")
            if name not in names:
                continue
            following = [*self.arguments[position + 1 :], "--"][0]
            found.append(value if equals else "true" if following[:1] == "-" else following)
        return found


@dataclass(frozen=True, slots=True)
class DaemonFile:
    """dockerd's daemon.json.

    ``settings`` is its JSON object. It is empty if the file does not exist or cannot be read; in
    the second case ``problem`` is the reason, as the end of a sentence that begins with the path.
    """

    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    exists: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """A host that is examined.

    ``root`` is the folder in which the host's file system is mounted: ``/`` on the host itself.
    ``dockerd`` is None if no dockerd process was found.
    """

    root: Path
    endpoint: Endpoint
    dockerd: Process | None
    daemon_file: DaemonFile

    def at(self, path: str | Path) -> Path:
        """Return the path below ``root`` that corresponds to a path of the host."""
        return self.root / str(path).lstrip("/")

    def setting(self, flag: str, key: str) -> list[str]:
        """Return the values of a setting as text: those of the flag, then those of daemon.json."""
        given = self.daemon_file.settings.get(key)
        by_file = given if isinstance(given, list) else [] if given is None else [given]
        by_flag = [] if self.dockerd is None else self.dockerd.values(flag)
        return [
            *by_flag,
            *(str(value).lower() if value is True else str(value) for value in by_file),
        ]

    def plugins(self) -> list[str]:
        """Return the names of the authorization plugins in dockerd's settings."""
        return self.setting("--authorization-plugin", "authorization-plugins")

    @property
    def trusted_uids(self) -> frozenset[int]:
        """The uids that may own and write the plugin's and dockerd's files: 0 and dockerd's own."""
        return frozenset({0} if self.dockerd is None else {0, self.dockerd.uid})

    @property
    def name(self) -> str:
        """The host name in ``/etc/hostname``, or an empty string if that cannot be read."""
        try:
            return self.at("etc/hostname").read_text(errors="replace").strip()
        except OSError:
            return ""

    @property
    def is_rootless(self) -> bool:
        """Whether dockerd was found and does not run as root."""
        return self.dockerd is not None and self.dockerd.uid != 0

    def accounts(self) -> Iterator[tuple[str, int, frozenset[int]]]:
        """Yield name, uid and groups of each account in ``/etc/passwd``."""
        groups: dict[str, set[int]] = {}
        for _, gid, rest in _accounts(self.at("etc/group")):
            for member in rest.rpartition(":")[2].split(","):
                groups.setdefault(member, set()).add(gid)
        for name, uid, rest in _accounts(self.at("etc/passwd")):
            primary = rest.partition(":")[0]
            own = {int(primary)} if primary.isdigit() else set()
            yield name, uid, frozenset(own | groups.get(name, set()))

    def group_members(self, gid: int) -> tuple[str, list[str]]:
        """Return the name of a group and the sorted names of its members.

        A group without an entry in ``/etc/group`` has its number as its name. Accounts whose
        primary group it is are members.
        """
        names: set[str] = set()
        group = str(gid)
        for name, number, rest in _accounts(self.at("etc/group")):
            if number == gid:
                group = name
                names |= {member for member in rest.rpartition(":")[2].split(",") if member}
        for name, _, rest in _accounts(self.at("etc/passwd")):
            if rest.partition(":")[0] == str(gid):
                names.add(name)
        return group, sorted(names)


def inspect_host(
    root: Path, endpoint: Endpoint, daemon_file: Path | None = None, pid: int | None = None
) -> Host:
    """Find dockerd's process and daemon.json on a host.

    ``daemon_file`` replaces the path of ``--config-file`` or the default path; ``pid`` names
    dockerd's process instead of the search for it.
    """
    dockerd = _process(root, pid) if pid is not None else _find_dockerd(root, endpoint)
    if daemon_file is None:
        named = [] if dockerd is None else dockerd.values("--config-file")
        default = "/etc/docker/daemon.json"
        if dockerd is not None and dockerd.uid != 0:
            default = f"{_home(root, dockerd.uid)}/.config/docker/daemon.json"
        daemon_file = root / (named or [default])[-1].lstrip("/")
    return Host(root, endpoint, dockerd, _read_daemon_file(daemon_file))


def untrusted_writers(path: Path, trusted: frozenset[int]) -> Iterator[str]:
    """Yield a reason for each way in which an untrusted account can write or replace a path.

    The path and its parent folders are checked for owner and mode. The mode of a socket itself is
    not checked: write access to a socket permits a connection and not its replacement. A sticky
    parent folder (mode 1777) is accepted, since only the owner of a file can replace it there.
    """
    for place in (path, *path.parents):
        try:
            facts = place.stat()
        except OSError:
            continue
        if facts.st_uid not in trusted:
            yield f"{place} belongs to uid {facts.st_uid}"
        is_sticky_parent = place != path and facts.st_mode & stat.S_ISVTX
        if is_sticky_parent or stat.S_ISSOCK(facts.st_mode):
            continue
        if facts.st_mode & stat.S_IWOTH:
            yield f"{place} may be written by everybody"
        if facts.st_mode & stat.S_IWGRP and facts.st_gid not in trusted:
            yield f"{place} may be written by group {facts.st_gid}"


def is_loopback(url: str) -> bool:
    """Return whether the host in a URL is ``localhost`` or a loopback address."""
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _find_dockerd(root: Path, endpoint: Endpoint) -> Process | None:
    """Return the dockerd that listens on an endpoint, else the only dockerd, else None."""
    listening = None if endpoint.unix is None else _listener(endpoint.unix)
    found = [process for process in _processes(root) if _is_dockerd(process)]
    for process in found:
        if process.pid == listening:
            return process
    named = [p for p in found if any(endpoint.url in word for word in p.arguments)]
    return next(iter(named or (found if len(found) == 1 else [])), None)


def _is_dockerd(process: Process) -> bool:
    return bool(process.arguments) and Path(process.arguments[0]).name == "dockerd"


def _listener(path: Path) -> int | None:
    """Return the pid of the process that listens on a unix socket (``SO_PEERCRED``), or None."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
            packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    pid, _, _ = _CREDENTIALS.unpack(packed)
    return int(pid)


def _processes(root: Path) -> Iterator[Process]:
    for folder in sorted((root / "proc").glob("[0-9]*")):
        process = _process(root, int(folder.name))
        if process is not None:
            yield process


def _process(root: Path, pid: int) -> Process | None:
    folder = root / "proc" / str(pid)
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        status = (folder / "status").read_text()
    except OSError:
        return None
    uid = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    return Process(pid, tuple(words[:-1]), int(uid[1]) if uid else 0)


def _read_daemon_file(path: Path) -> DaemonFile:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return DaemonFile(path)
    except OSError as error:
        return DaemonFile(path, exists=True, problem=f"cannot be read: {error.strerror}")
    try:
        settings = json.loads(text)
    except ValueError as error:
        return DaemonFile(path, exists=True, problem=f"is not JSON: {error}")
    if not isinstance(settings, dict):
        return DaemonFile(path, exists=True, problem="is not a JSON object")
    return DaemonFile(path, settings, exists=True)


def _accounts(file: Path) -> Iterator[tuple[str, int, str]]:
    """Yield name, number and the remaining fields of each line of ``/etc/group`` or ``passwd``."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        name, _, rest = line.partition(":")
        number, _, rest = rest.partition(":")[2].partition(":")
        if number.isdigit():
            yield name, int(number), rest


def _home(root: Path, uid: int) -> str:
    for _, number, rest in _accounts(root / "etc/passwd"):
        if number == uid:
            return [*rest.split(":"), "", ""][2]
    return ""
