"""Child processes on Linux: what one owes its parent, and how it starts afresh."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

SIGNALS: Final = frozenset({signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
"""The signals that the supervisor waits for, and so blocks."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def begin_child() -> None:
    """In a fresh child process: die with the parent, take signals again, keep files private."""
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.umask(0o077)


def die_with_parent() -> None:
    """In a fresh child process: have the kernel kill it when the parent ends, however it ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
