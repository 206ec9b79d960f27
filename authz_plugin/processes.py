"""Child processes on Linux: their signals, their umask, and their end with the parent."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

SIGNALS: Final = frozenset({signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
"""The signals that the supervisor blocks, so that it can wait for them."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def begin_child() -> None:
    """Prepare a new child process: it ends with its parent, receives ``SIGNALS`` again, and makes
    files that only its own user can access."""
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.umask(0o077)


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when its parent ends; raises ``OSError``."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
