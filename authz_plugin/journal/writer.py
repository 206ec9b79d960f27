"""A queue with a thread that writes its items, so that requests do not wait for a disk or terminal.

``put`` never blocks. If the queue is full, the item is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

GATHERING: Final = 0.02
"""Seconds that the thread waits for more items before it writes a batch."""

_IDLE: Final = 1.0
_BATCH: Final = 64
_STOP_LIMIT: Final = 5.0


class Writer(Generic[T]):
    """Calls ``write`` with the queued items in order, in batches, in a separate thread.

    ``write`` is also called once a second with an empty batch, for periodic work. It returns
    whether the batch was written; if not, it is called again with the same batch, while new items
    wait in the queue. It must not raise. ``limit`` is the maximum length of the queue.
    """

    def __init__(self, name: str, write: Callable[[list[T]], bool], limit: int) -> None:
        self._write = write
        self._limit = limit
        self._items: deque[T] = deque()
        self._batch: list[T] = []
        self._wake = threading.Event()
        self._stopping = False
        self._count_lock = threading.Lock()
        self.dropped = 0
        self.written = 0
        self._last_seen = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._items) + len(self._batch)

    @property
    def is_full(self) -> bool:
        return len(self._items) >= self._limit

    def is_stuck(self, limit: float) -> bool:
        """Whether the thread has been busy with one batch for longer than ``limit`` seconds."""
        return time.monotonic() - self._last_seen > limit

    def put(self, item: T, reserve: int = 0) -> None:
        """Add an item to the queue; if that has reached its limit plus ``reserve``, drop the item
        and count it in ``dropped``."""
        if len(self._items) >= self._limit + reserve:
            with self._count_lock:
                self.dropped += 1
            return
        self._items.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        """Write the waiting items and end the thread; give up after ``_STOP_LIMIT`` seconds."""
        self._stopping = True
        self._wake.set()
        self._thread.join(_STOP_LIMIT)

    def _run(self) -> None:
        next_round = time.monotonic() + _IDLE
        while not self._stopping:
            if self._wake.wait(_IDLE) and not self._stopping:
                time.sleep(GATHERING)
            self._wake.clear()
            self._empty()
            self._last_seen = time.monotonic()
            if self._last_seen >= next_round:
                next_round = self._last_seen + _IDLE
                self._write([])
        self._empty()

    def _empty(self) -> None:
        while self._batch or self._items:
            while self._items and len(self._batch) < _BATCH:
                self._batch.append(self._items.popleft())
            if not self._write(self._batch):
                return
            self.written += len(self._batch)
            self._batch = []
