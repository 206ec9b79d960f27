"""Hands the decisions of the spool to the OPA that uploads them, and notes what has arrived.

OPA has in its memory at most what is handed over here and has not arrived. A line has arrived when
a round of uploads has succeeded that began after it was handed over. OPA does not say when a round
begins: that is after the end of the one before, which its log shows.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin.engine.bundle_client import BundleClient
from authz_plugin.errors import EngineError
from authz_plugin.journal.spool import LINE_LIMIT, SpoolReader

EVENTS_AT_OPA: Final = 5000
"""The maximum number of events that OPA has."""

_BYTES_AT_OPA: Final = 4 << 20
_TIME: Final = 0.1
"""Seconds that one call of ``check`` hands over lines for, so that the supervisor does its work."""

_PAUSE: Final = 5.0
_PATHS: Final = {
    "allowed_operation": "authz_plugin/uploads/decision",
    "blocked_operation": "authz_plugin/uploads/decision",
    "finished_operation": "authz_plugin/uploads/outcome",
}


class DecisionUploads:
    """The way of the decisions from the spool in a folder to OPA.

    ``arrived`` counts the lines that have arrived since the start, ``lost`` those that are damaged;
    ``fault`` is why nothing is handed over, or empty.
    """

    def __init__(self, folder: Path) -> None:
        self._spool = SpoolReader(folder)
        self._under_way: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._handed_before = self._covered = self._spool.arrived
        self._next = 0.0
        self.arrived = 0
        self.lost = 0
        self.fault = ""

    @property
    def last_arrived(self) -> int:
        """The number of the last line that has arrived."""
        return self._spool.arrived

    def check(self, opa: BundleClient) -> None:
        """Note what has arrived and hand over more; called several times a second."""
        self._note_rounds(opa)
        if time.monotonic() < self._next:
            return
        try:
            self._hand_over(opa)
        except (EngineError, OSError) as error:
            self._next = time.monotonic() + _PAUSE
            self.fault = str(error)
        else:
            self.fault = ""

    def stopped(self, opa: BundleClient) -> None:
        """Begin again after an OPA was stopped or has ended, with what has not arrived."""
        self._note_rounds(opa)
        if opa.has_flushed:
            self._confirm(self._spool.handed)
        self._spool.again()
        self._under_way.clear()
        self._bytes = 0
        self._handed_before = self._covered = self._spool.arrived

    def _note_rounds(self, opa: BundleClient) -> None:
        """Confirm what the rounds that have ended since the last call had in them.

        A round that the log shows has ended after the last call, and the one after it has what was
        handed over before that call.
        """
        for _ in range(opa.rounds()):
            self._confirm(self._covered)
            self._covered = self._handed_before
        self._handed_before = self._spool.handed

    def _confirm(self, number: int) -> None:
        if number <= self._spool.arrived:
            return
        self._spool.confirm(number)
        while self._under_way and self._under_way[0][0] <= number:
            self._bytes -= self._under_way.popleft()[1]
            self.arrived += 1

    def _has_room(self) -> bool:
        return len(self._under_way) < EVENTS_AT_OPA and self._bytes <= _BYTES_AT_OPA - LINE_LIMIT

    def _hand_over(self, opa: BundleClient) -> None:
        end = time.monotonic() + _TIME
        while self._has_room() and time.monotonic() < end:
            line = self._spool.next()
            if line is None:
                return
            path = _path(line)
            if path is None:
                self.lost += 1
                continue
            try:
                opa.hand_over(path, line)
            except EngineError:
                self._spool.back()
                raise
            self._under_way.append((self._spool.handed, len(line)))
            self._bytes += len(line)


def _path(line: bytes) -> str | None:
    """The path of the decision for a line; None if it is damaged."""
    try:
        record: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return _PATHS.get(record.get("event", "")) if isinstance(record, dict) else None
