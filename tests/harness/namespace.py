"""A folder for plugins' sockets that no other process of this host sees.

dockerd asks every socket in /run/docker/plugins whether it is a volume driver, and waits up to half
a minute for one whose process has just ended. Without this module, tests that run side by side
would delay each other's dockerds.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

PLUGINS: Final = Path("/run/docker/plugins")

_CLONE_NEWNS: Final = 0x00020000  # linux/sched.h
_MS_REC: Final = 1 << 14  # linux/mount.h
_MS_PRIVATE: Final = 1 << 18


def hide_plugins() -> None:
    """Give this thread, and the processes that it starts, an empty /run/docker/plugins of its own.

    Needs root. Raises ``OSError``.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    PLUGINS.mkdir(parents=True, exist_ok=True)
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount --make-rprivate /")
    _check(libc.mount(b"none", os.fsencode(PLUGINS), b"tmpfs", 0, b"mode=755"), f"mount {PLUGINS}")


def _check(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
