"""Signals that end a program, postponed where an exception of their handlers would do harm.

Python runs signal handlers in the main thread, between any two of its instructions. A
``KeyboardInterrupt`` there can leave a lock of a thread pool locked for ever, and in a function
that native code calls it is lost or ends the process.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def recorded(notice: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Record the signals that end a program instead of obeying them; yield the list of them.

    ``notice`` is called for each. Only the main thread can use this.
    """
    received: list[int] = []

    def record(number: int, _: FrameType | None) -> None:
        received.append(number)
        notice()

    before = {number: signal.signal(number, record) for number in _SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def postponed() -> Iterator[None]:
    """Obey signals that end a program at the end of the block; other threads get none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    try:
        with recorded() as received:
            yield
    finally:
        for number in received:
            signal.raise_signal(number)
