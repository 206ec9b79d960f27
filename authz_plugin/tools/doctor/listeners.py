"""The sockets on which dockerd listens, as the kernel lists them, and who can connect to them."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.doctor.host import Host

_ACCEPTS: Final = 0x10000  # __SO_ACCEPTCON, include/linux/net.h
_TCP_LISTENS: Final = "0A"  # TCP_LISTEN, include/net/tcp_states.h
_SWARM_PORTS: Final = frozenset({2377, 7946})
_NOBODY: Final = -1


def sockets_are_visible(host: Host) -> bool:
    """Return whether the sockets that dockerd's process has open can be listed; root can."""
    return host.dockerd is not None and os.access(
        host.root / f"proc/{host.dockerd.pid}/fd", os.R_OK | os.X_OK
    )


def unix_listeners(host: Host) -> list[Path]:
    """Return the paths of the unix sockets on which dockerd listens, but not the endpoint's."""
    if host.dockerd is None:
        return []
    own = _inodes(host.root, host.dockerd.pid)
    found = {path for inode, path in _unix_sockets(host, host.dockerd.pid) if inode in own}
    at_endpoint = _endpoint_paths(host.endpoint)
    return sorted(path for path in found if not at_endpoint & {path, Path(os.path.realpath(path))})


def tcp_listeners(host: Host) -> list[tuple[str, int]]:
    """Return where dockerd listens on TCP, but at the endpoint and at the ports of a swarm.

    Of an address that stands for every interface, it is the loopback interface's.
    """
    if host.dockerd is None:
        return []
    own = _inodes(host.root, host.dockerd.pid)
    found = set()
    for name in ("tcp", "tcp6"):
        for fields in _table(host, host.dockerd.pid, name):
            if fields[3] == _TCP_LISTENS and fields[9] in own:
                digits, _, port = fields[1].partition(":")
                found.add((_address(digits), int(port, 16)))
    return sorted(
        place for place in found if place[1] not in _SWARM_PORTS | {host.endpoint.address[1]}
    )


def holders(host: Host, endpoint: Endpoint) -> frozenset[int]:
    """Return the uids of the processes that have the listening socket of a unix endpoint open."""
    paths = _endpoint_paths(endpoint)
    pid = 1 if host.dockerd is None else host.dockerd.pid
    inodes = {inode for inode, path in _unix_sockets(host, pid) if path in paths}
    if not inodes:
        return frozenset()
    found = set()
    for folder in (host.root / "proc").glob("[0-9]*"):
        if inodes & _inodes(host.root, int(folder.name)):
            try:
                status = (folder / "status").read_text()
            except OSError:
                continue
            uid = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
            found |= {int(uid[1])} if uid else set()
    return frozenset(found)


def environment_of(host: Host) -> dict[str, str]:
    """Return the environment in which dockerd was started; empty if it cannot be read."""
    if host.dockerd is None:
        return {}
    try:
        content = (host.root / f"proc/{host.dockerd.pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in content.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs}


def accounts_that_reach(host: Host, path: Path, trusted: frozenset[int]) -> list[str]:
    """Return the accounts that the modes of a socket and its folders let connect.

    ``trusted`` are uids that are left out. If an account in no group can connect, the answer is
    that every account can. An account is one of ``/etc/passwd``; access lists are not read.
    """
    socket_ = host.at(path)
    try:
        facts = [(socket_.stat(), stat.S_IWOTH)]
        facts += [
            (host.at(folder).stat(), stat.S_IXOTH) for folder in path.parents if folder != Path("/")
        ]
    except OSError:
        return ["every account"]

    def may(uid: int, groups: frozenset[int]) -> bool:
        return all(_permits(fact, bit, uid, groups) for fact, bit in facts)

    if may(_NOBODY, frozenset()):
        return ["every account"]
    return [
        name for name, uid, groups in host.accounts() if uid not in trusted and may(uid, groups)
    ]


def _permits(facts: os.stat_result, bit: int, uid: int, groups: frozenset[int]) -> bool:
    """Return whether a mode grants an account a right; ``bit`` is the one for all others."""
    if uid == facts.st_uid:
        bit <<= 6
    elif facts.st_gid in groups:
        bit <<= 3
    return bool(facts.st_mode & bit)


def _endpoint_paths(endpoint: Endpoint) -> frozenset[Path]:
    if endpoint.unix is None:
        return frozenset()
    return frozenset({endpoint.unix, Path(os.path.realpath(endpoint.unix))})


def _inodes(root: Path, pid: int) -> frozenset[str]:
    """Return the inodes of the sockets that a process has open; none if they cannot be read."""
    found = set()
    try:
        for entry in (root / f"proc/{pid}/fd").iterdir():
            try:
                target = str(entry.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    except OSError:
        pass
    return frozenset(found)


def _unix_sockets(host: Host, pid: int) -> Iterator[tuple[str, Path]]:
    """Yield inode and path of the unix sockets that listen, in a process's network namespace."""
    for fields in _table(host, pid, "unix"):
        inode, *path = fields[6:]  # an abstract or unnamed socket has no path
        if int(fields[3], 16) & _ACCEPTS and path and path[0].startswith("/"):
            yield inode, Path(path[0])


def _table(host: Host, pid: int, name: str) -> Iterator[list[str]]:
    """Yield the fields of each line of a table of the kernel's, without its head."""
    try:
        lines = (host.root / f"proc/{pid}/net/{name}").read_text(errors="replace").splitlines()
    except OSError:
        return
    limit = 7 if name == "unix" else -1
    for line in lines[1:]:
        yield line.split(None, limit)


def _address(digits: str) -> str:
    """Return an address that the kernel wrote in hexadecimal words of this machine's order."""
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    return "127.0.0.1" if address.is_unspecified else str(address)
