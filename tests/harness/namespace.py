"""A /run that no other process of this host sees, in memory.

dockerd asks every socket in /run/docker/plugins whether it is a volume driver, and waits up to half
a minute for one whose process has just ended. Without this module, tests that run side by side
would delay each other's dockerds.

Scratch dockerds keep their data below /run. Debian has it in memory; where it is on a disk, as in a
container, a dockerd takes a third more processor time, and waits for the disk at each change.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

RUN: Final = Path("/run")
PLUGINS: Final = RUN / "docker/plugins"
_RESOLVER: Final = Path("/etc/resolv.conf")

_CLONE_NEWNS: Final = 0x00020000  # linux/sched.h
_MS_REC: Final = 1 << 14  # linux/mount.h
_MS_PRIVATE: Final = 1 << 18


def hide_run() -> None:
    """Give this thread, and the processes that it starts, a /run of its own, in memory.

    It is empty but for the addresses of the name servers, which systemd-resolved keeps there: the
    tests fetch what they need. Needs root. Raises ``OSError``.
    """
    names = _RESOLVER.resolve()
    servers = names.read_bytes() if names.is_relative_to(RUN) and names.exists() else None
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount --make-rprivate /")
    _check(libc.mount(b"none", os.fsencode(RUN), b"tmpfs", 0, b"mode=755"), f"mount {RUN}")
    PLUGINS.mkdir(parents=True)
    if servers is not None:
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_bytes(servers)


def _check(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
