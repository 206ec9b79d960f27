"""The newest decisions of an audit file, and who is told of those that arrive.

One thread reads the file for all clients, every ``_PAUSE`` seconds. Each client has a queue; when
that is full, its oldest decision is left out, and the client is told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from authz_plugin.errors import defect
from authz_plugin.journal.chain import Link
from authz_plugin.tools.console.decisions import Decided, Wanted, decided, is_outcome, with_outcome
from authz_plugin.tools.console.reading import Follower, links_newest_first

KEPT: Final = 2000
"""Decisions that the feed keeps for clients that begin, or begin again."""

MOST_CLIENTS: Final = 16

QUEUE: Final = 1000
"""Decisions that wait for a client at most."""

_PAUSE: Final = 0.25
_HISTORY_LINES: Final = 20_000
"""Lines of the file that are read at the start at most, to find decisions to keep."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the file can be read: ``fault`` is the reason if not, else empty. ``broken`` counts
    the lines that are not as they were written."""

    fault: str = ""
    broken: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What a client is told: decisions, the oldest first, and how many were left out before them
    because the client took too long. ``behind`` is true if the feed no longer has what followed
    the decision with which the client wanted to begin."""

    decisions: tuple[Decided, ...] = ()
    lost: int = 0
    behind: bool = False


class Client:
    """A queue of decisions for one browser."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._changed = threading.Condition()
        self._queue: deque[Decided] = deque(maxlen=QUEUE)
        self._lost = 0
        self._behind = False
        self._woken = False
        self._ended = False

    def put(self, decisions: list[Decided], *, behind: bool = False) -> None:
        """Add the decisions that the client wants; never waits."""
        found = [one for one in decisions if self._wanted.takes(one)]
        if not found and not behind:
            return
        with self._changed:
            self._lost += max(0, len(self._queue) + len(found) - QUEUE)
            self._queue.extend(found)
            self._behind = self._behind or behind
            self._changed.notify()

    def take(self, timeout: float) -> Batch | None:
        """Wait for decisions, ``timeout`` seconds at most, or less if the feed's health changes;
        None after the end of the feed."""
        with self._changed:
            if not self._queue and not self._woken and not self._ended:
                self._changed.wait(timeout)
            self._woken = False
            if self._ended:
                return None
            batch = Batch(tuple(self._queue), self._lost, self._behind)
            self._queue.clear()
            self._lost, self._behind = 0, False
            return batch

    def wake(self) -> None:
        """End the wait for decisions."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def end(self) -> None:
        """End the wait, now and for ever."""
        with self._changed:
            self._ended = True
            self._changed.notify()


class Feed:
    """Follows an audit file from ``start`` to ``stop``. Threads may share it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._follower = Follower(file)
        self._lock = threading.Lock()
        self._kept: dict[str, Decided] = {}
        self._dropped = 0
        self._clients: list[Client] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.health = Health()

    def start(self) -> None:
        """Read the newest decisions, and begin to follow the file."""
        self._guarded(self._read_history)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and every client."""
        self._stopping.set()
        with self._lock:
            for client in self._clients:
                client.end()
        if self._thread.is_alive():
            self._thread.join()
        self._follower.close()

    def newest(self, wanted: Wanted, limit: int) -> list[Decided]:
        """Return the newest kept decisions that are wanted, the newest first."""
        with self._lock:
            kept = list(self._kept.values())
        found: list[Decided] = []
        for one in reversed(kept):
            if len(found) == limit:
                break
            if wanted.takes(one):
                found.append(one)
        return found

    def last(self) -> int:
        """Return the number of the last line that was read of a decision or an outcome."""
        with self._lock:
            return max((one.changed for one in self._kept.values()), default=0)

    def join(self, wanted: Wanted, after: int) -> Client | None:
        """Return a client that is given what came after the line ``after``, and then what arrives.

        It must ``leave``. None if ``MOST_CLIENTS`` have joined.
        """
        client = Client(wanted)
        with self._lock:
            if len(self._clients) >= MOST_CLIENTS:
                return None
            missed = [one for one in self._kept.values() if one.changed > after]
            client.put(missed, behind=self._dropped > after)
            if self._stopping.is_set():
                client.end()
            self._clients.append(client)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        with self._lock:
            self._clients.remove(client)

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE):
            self._guarded(self._follow)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step, and tell ``health`` how it went."""
        fault = ""
        try:
            step()
        except OSError as error:
            fault = f"{error.filename or self._file}: {error.strerror or type(error).__name__}"
        except Exception as error:  # noqa: BLE001 - the page says so; a dead thread would not
            fault = f"a defect, {defect(error)}: please report it"
        health = Health(fault, self._follower.broken)
        if health != self.health:
            self.health = health
            with self._lock:
                for client in self._clients:
                    client.wake()

    def _read_history(self) -> None:
        self._follower.skip()
        read: list[Decided | Link] = []
        found = 0
        for link in islice(links_newest_first(self._file), _HISTORY_LINES):
            one = _read(link)
            if one is not None:
                read.append(one)
            found += isinstance(one, Decided)
            if found == KEPT:
                break
        self._keep(read[::-1])

    def _follow(self) -> None:
        links = self._follower.poll()
        if links:
            changed = self._keep(filter(None, map(_read, links)))
            with self._lock:
                for client in self._clients:
                    client.put(changed)

    def _keep(self, read: Iterable[Decided | Link]) -> list[Decided]:
        """Keep decisions and the outcomes of decisions; return the decisions that changed."""
        changed: dict[str, Decided] = {}
        with self._lock:
            for part in read:
                one = self._with_outcome(part) if isinstance(part, Link) else part
                if one is not None:
                    self._kept[one.id] = changed[one.id] = one
            while len(self._kept) > KEPT:
                oldest = self._kept.pop(next(iter(self._kept)))
                self._dropped = max(self._dropped, oldest.changed)
        return list(changed.values())

    def _with_outcome(self, outcome: Link) -> Decided | None:
        """The kept decision of an outcome, with it."""
        one = self._kept.get(str(outcome.document.get("decision_id")))
        return None if one is None else with_outcome(one, outcome)


def _read(link: Link) -> Decided | Link | None:
    """The decision of a line, or the line itself if it is an outcome; None for other lines."""
    return link if is_outcome(link) else decided(link)
