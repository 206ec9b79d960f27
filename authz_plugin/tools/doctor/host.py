"""What can be seen of a host: dockerd's process and settings, accounts, and who may write what."""

from __future__ import annotations

import json
import re
import socket
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from authz_plugin.tools.docker_client import Endpoint

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SHORT: Final[Mapping[str, str]] = {"--host": "-H", "--debug": "-D", "--log-level": "-l"}


@dataclass(frozen=True, slots=True)
class Process:
    """A running dockerd: its command line, and whose it is."""

    pid: int
    arguments: Sequence[str]
    uid: int

    def values(self, flag: str) -> list[str]:
        """What a flag (``"--host"``) is given as, every time; ``"true"`` where it is alone."""
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
    """dockerd's daemon.json: ``problem`` says why its settings cannot be read, if they cannot."""

    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    exists: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """A host whose files lie below ``root``; everything else is as it was found there."""

    root: Path
    endpoint: Endpoint
    dockerd: Process | None
    daemon_file: DaemonFile

    def at(self, path: str | Path) -> Path:
        """Where a path of the host is seen."""
        return self.root / str(path).lstrip("/")

    def setting(self, flag: str, key: str) -> list[str]:
        """What dockerd is told by flag or by file."""
        given = self.daemon_file.settings.get(key)
        by_file = given if isinstance(given, list) else [] if given is None else [given]
        by_flag = [] if self.dockerd is None else self.dockerd.values(flag)
        return [
            *by_flag,
            *(str(value).lower() if value is True else str(value) for value in by_file),
        ]

    def plugins(self) -> list[str]:
        """The authorization plugins that dockerd is told to ask."""
        return self.setting("--authorization-plugin", "authorization-plugins")

    @property
    def trusted(self) -> frozenset[int]:
        """The uids that may change what guards this host: root's and dockerd's own."""
        return frozenset({0} if self.dockerd is None else {0, self.dockerd.uid})

    @property
    def name(self) -> str:
        """What the host calls itself, or an empty text where that cannot be seen."""
        try:
            return self.at("etc/hostname").read_text(errors="replace").strip()
        except OSError:
            return ""

    @property
    def is_rootless(self) -> bool:
        return self.dockerd is not None and self.dockerd.uid != 0

    def members(self, gid: int) -> tuple[str, list[str]]:
        """The name of a group and the accounts in it."""
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


def look_at(
    root: Path, endpoint: Endpoint, daemon_file: Path | None = None, pid: int | None = None
) -> Host:
    """Look at a host; ``daemon_file`` and ``pid`` go before what is found."""
    dockerd = _process(root, pid) if pid is not None else _find_dockerd(root, endpoint)
    if daemon_file is None:
        named = [] if dockerd is None else dockerd.values("--config-file")
        default = "/etc/docker/daemon.json"
        if dockerd is not None and dockerd.uid != 0:
            default = f"{_home(root, dockerd.uid)}/.config/docker/daemon.json"
        daemon_file = root / (named or [default])[-1].lstrip("/")
    return Host(root, endpoint, dockerd, _read_daemon_file(daemon_file))


def intruders(path: Path, trusted: frozenset[int]) -> Iterator[str]:
    """Why others than trusted uids may change what a path holds or replace it, one reason each.

    Who may write to a socket may only speak there, so a socket's own mode is no reason.
    """
    for place in (path, *path.parents):
        try:
            facts = place.stat()
        except OSError:
            continue
        if facts.st_uid not in trusted:
            yield f"{place} belongs to uid {facts.st_uid}"
        held = place != path and facts.st_mode & stat.S_ISVTX
        if held or stat.S_ISSOCK(facts.st_mode):
            continue
        if facts.st_mode & stat.S_IWOTH:
            yield f"{place} may be written by everybody"
        if facts.st_mode & stat.S_IWGRP and facts.st_gid not in trusted:
            yield f"{place} may be written by group {facts.st_gid}"


def _find_dockerd(root: Path, endpoint: Endpoint) -> Process | None:
    """The process that serves an endpoint, or else the only dockerd there is."""
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
    """The process that opened a listening socket, as the kernel says."""
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
    """Lines of ``/etc/group`` or ``/etc/passwd``: name, number, and what follows."""
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
