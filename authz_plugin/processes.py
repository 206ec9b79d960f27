"""Child processes on Linux: their signals, their umask, and their end with the parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import resource
import select
import signal
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

SIGNALS: Final = frozenset({signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
"""The signals that the supervisor blocks, so that it can wait for them."""

_T = TypeVar("_T")

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_M_ARENA_MAX: Final = -8  # malloc.h
NO_LIMITS: Final[Mapping[int, int]] = {}


def begin_child(limits: Mapping[int, int] = NO_LIMITS) -> None:
    """Prepare a new child process: it ends with its parent, receives ``SIGNALS`` again, and makes
    files that only its own user can access.

    ``limits`` maps resources (``resource.RLIMIT_DATA``) to the most that it may use of them.
    """
    for name, most in limits.items():
        resource.setrlimit(name, (most, most))
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.umask(0o077)


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when its parent ends; raises ``OSError``."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def share_heap() -> None:
    """Have all threads that this process starts allocate from one heap.

    glibc gives each thread a heap of its own, so that they need not wait for each other, and keeps
    a MB in each. Python's threads run one at a time anyway.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def in_child(function: Callable[[], _T], limit: float) -> _T:
    """Call a function in a forked child process and return its result, or raise its exception.

    What the function loads and computes leaves no memory in this process, which must have a single
    thread. Raises ``TimeoutError`` if it takes longer than ``limit`` seconds and
    ``ChildProcessError`` if the process ends without a result.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            begin_child()
            with open(write_end, "wb") as output:  # noqa: PTH123 - a file descriptor
                pickle.dump(_outcome(function), output)
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    try:
        with open(read_end, "rb") as result:  # noqa: PTH123 - a file descriptor
            if not select.select([result], [], [], limit)[0]:
                raise TimeoutError(f"a child process took longer than {limit:g} s")
            content = result.read()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if not content:
        raise ChildProcessError("a child process ended without a result")
    value, error = pickle.loads(content)  # noqa: S301 - from our own process
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


def _outcome(function: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    try:
        return function(), None
    except Exception as error:  # noqa: BLE001 - the parent process raises it
        return None, error
