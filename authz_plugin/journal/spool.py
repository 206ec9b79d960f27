"""The spool: decisions and outcomes on the disk, on their way to the service that collects them.

The process that answers dockerd appends them (``Spool``). The supervisor reads them, hands them to
OPA and removes them when they have arrived (``SpoolReader``). They are lines of JSON in files that
are named by the number of their first line. The number of the last line that has arrived is in the
file ``arrived``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from authz_plugin.journal.log import notice
from authz_plugin.journal.record import DecisionRecord, Outcome

LINE_LIMIT: Final = 64 << 10
"""The maximum length of a line in bytes; a record has about 700. A longer one is lost."""

_ARRIVED: Final = "arrived"
_SEGMENT: Final = 1 << 20
_SEGMENTS: Final = 8
"""The least number of files that a full spool has, so that there is one to remove."""

_SYNC_EVERY: Final = 1.0


class SpoolOptions(NamedTuple):
    """Where the spool is and its maximum size in bytes; ``queue`` is the maximum number of entries
    that wait for the disk."""

    folder: Path
    limit: int
    queue: int = 10_000


class _Segment(NamedTuple):
    first: int
    file: Path


class Spool:
    """Appends to the spool, from one thread.

    ``last`` is the number of the last line and ``lost`` the number of entries that were not written
    because the spool was full. ``tell`` is called with events for the log.
    """

    def __init__(self, options: SpoolOptions, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._folder = options.folder
        self._limit = options.limit
        self._segment = min(_SEGMENT, options.limit // _SEGMENTS)
        self._tell = tell
        self._fd = -1
        self._size = 0
        self._next_sync = 0.0
        self._is_dirty = False
        self._failure = ""
        self._is_full = False
        self.last = 0
        self.lost = 0
        self.write(())

    def write(self, batch: Sequence[DecisionRecord | Outcome]) -> bool:
        """Append a batch; return whether it was written, or lost because the spool is full."""
        try:
            self._write(batch)
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
            return False
        if self._failure:
            self._failure = ""
            self._tell(notice("spool_resumed", f"{self._folder} is written again", "warning"))
        return True

    def close(self) -> None:
        """Force the last lines to the disk and close the file."""
        with contextlib.suppress(OSError):
            self._sync()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, batch: Sequence[DecisionRecord | Outcome]) -> None:
        if self._fd < 0:
            self._open()
        if batch:
            if self._size >= self._segment:
                self._begin(self.last + 1)
            self._append(batch)
        if time.monotonic() >= self._next_sync:
            self._sync()
            self._next_sync = time.monotonic() + _SYNC_EVERY

    def _append(self, batch: Sequence[DecisionRecord | Outcome]) -> None:
        room = self._limit - _size(self._folder)
        lines = []
        for entry in batch:
            line = orjson.dumps(entry.to_document(), option=orjson.OPT_APPEND_NEWLINE)
            if len(line) <= min(room, LINE_LIMIT):
                lines.append(line)
                room -= len(line)
        content = b"".join(lines)
        os.ftruncate(self._fd, self._size)  # a write before may have failed after a part
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self._size += len(content)
        self.last += len(lines)
        self._is_dirty = True
        self._count_lost(len(batch) - len(lines))

    def _count_lost(self, number: int) -> None:
        self.lost += number
        if number and not self._is_full:
            details = f"decisions are not uploaded: {self._folder} is full, or a record too long"
            self._tell(notice("spool_full", details, "error"))
        self._is_full = number > 0

    def _open(self) -> None:
        """Begin a file after the last line; what the process before has not completed is lost."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.last = _arrived(self._folder)
        segments, torn = _segments(self._folder), False
        if segments:
            content = segments[-1].file.read_bytes()
            self.last = max(self.last, segments[-1].first + content.count(b"\n") - 1)
            whole = content.rfind(b"\n") + 1
            torn = len(content) > whole
            os.truncate(segments[-1].file, whole)
        self._begin(self.last + 1)
        self.lost += torn

    def _begin(self, number: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        new = os.open(self._folder / f"{number:020}.jsonl", flags, 0o600)
        if self._fd >= 0:
            self._sync()
            os.close(self._fd)
        self._fd, self._size = new, os.fstat(new).st_size

    def _sync(self) -> None:
        if self._is_dirty:
            os.fsync(self._fd)
        self._is_dirty = False

    def _fail(self, reason: str) -> None:
        if self._failure != reason:
            self._failure = reason
            details = f"{self._folder} cannot be written: {reason}"
            self._tell(notice("spool_failing", details, "error"))


class SpoolReader:
    """Reads the spool in order, and removes what has arrived.

    ``arrived`` is the number of the last line that has arrived, ``handed`` that of the last one
    that was read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BufferedReader | None = None
        self._first = 0
        self._start = 0
        self.arrived = self.handed = _arrived(folder)

    def next(self) -> bytes | None:
        """The next line, or None if there is none yet. Raises ``OSError``."""
        if self._file is None and not self._open():
            return None
        line = self._whole_line()
        while line is None:
            later = [one for one in _segments(self._folder) if one.first > self._first]
            line = self._whole_line()  # written between the first look and the next file's begin
            if line is None:
                if not later:
                    return None
                self._enter(later[0])
                self.handed = later[0].first - 1
                line = self._whole_line()
        self.handed += 1
        return line

    def back(self) -> None:
        """Have ``next`` return the same line again."""
        assert self._file is not None
        self._file.seek(self._start)
        self.handed -= 1

    def again(self) -> None:
        """Begin again after the last line that has arrived."""
        self.close()
        self.handed = self.arrived

    def confirm(self, number: int) -> None:
        """Note that the lines up to a number have arrived, and remove files that have only these.

        If the number cannot be written, some of these lines are read again after a restart.
        """
        self.arrived = number
        new = self._folder / f"{_ARRIVED}.new"
        with contextlib.suppress(OSError):
            new.write_text(str(number))
            new.replace(self._folder / _ARRIVED)
        segments = _segments(self._folder)
        for segment, later in itertools.pairwise(segments):
            if later.first - 1 <= number:
                with contextlib.suppress(OSError):
                    segment.file.unlink()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self) -> bool:
        """Open the file that has the line after ``handed``; whether there is one."""
        segments = _segments(self._folder)
        if not segments:
            return False
        before = [one for one in segments if one.first <= self.handed + 1]
        found = before[-1] if before else segments[0]
        self.handed = max(self.handed, found.first - 1)
        self._enter(found)
        for _ in range(self.handed + 1 - found.first):
            self._whole_line()
        return True

    def _enter(self, segment: _Segment) -> None:
        self.close()
        self._file, self._first = segment.file.open("rb"), segment.first

    def _whole_line(self) -> bytes | None:
        assert self._file is not None
        self._start = self._file.tell()
        line = self._file.readline()
        if line.endswith(b"\n"):
            return line[:-1]
        self._file.seek(self._start)
        return None


def _segments(folder: Path) -> list[_Segment]:
    files = sorted(folder.glob("*.jsonl"))
    return [_Segment(int(file.stem), file) for file in files if file.stem.isdecimal()]


def _size(folder: Path) -> int:
    size = 0
    for _, file in _segments(folder):
        with contextlib.suppress(FileNotFoundError):  # it has just been removed
            size += file.stat().st_size
    return size


def _arrived(folder: Path) -> int:
    """The number of the last line that has arrived; 0 if that is not known, so that lines may
    arrive twice."""
    try:
        return int((folder / _ARRIVED).read_text())
    except (OSError, ValueError):
        return 0
