"""The audit file: decisions and outcomes as a chain of lines in which a change can be detected.

Lines are only appended. A batch is written to the file at once, and to the disk according to
``AuditOptions.sync``. If a write fails, ``failure`` is the reason, the batch is kept and written
again a second later, and the chain continues after the last line that is in the file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_plugin.journal.chain import (
    CLOSED,
    OPENED,
    REMOVED,
    Position,
    end_of,
    first_number,
    forge,
    read_line,
    rotated,
    rotated_name,
)
from authz_plugin.journal.log import notice
from authz_plugin.journal.record import DecisionRecord, Outcome
from authz_plugin.journal.recording import RecordedDecision

Entry = DecisionRecord | RecordedDecision | Outcome
"""The content of a line that is not a notice about the file itself."""

_RETRY: Final = 1.0
_SYNC_EVERY: Final = 1.0
_CHECKPOINT_EVERY: Final = 3600.0
_HOUR: Final = 3600
_DAY: Final = 86400


class AuditOptions(NamedTuple):
    """How the audit file is written.

    ``sync`` is when lines are forced to the disk: ``always`` after each batch, ``interval`` once a
    second, ``never`` when the kernel writes its cache. A file of ``max_size`` MiB, or one whose
    first line is ``max_age`` hours old, is renamed; a renamed file is removed ``retention`` days
    after its last line. ``queue`` is the maximum number of waiting entries. ``inputs`` adds the
    recorded input to each decision, ``deny_on_failure`` denies requests that cannot be audited.
    ``readers`` is the id of a group that may read the files, or None.
    """

    file: Path
    sync: str = "interval"
    max_size: int = 64
    max_age: int = 24
    retention: int = 90
    queue: int = 10_000
    inputs: bool = False
    deny_on_failure: bool = False
    readers: int | None = None


class AuditFile:
    """Appends to the audit file, from one thread.

    ``tell`` is called with events for the log: failures, and at each start, rotation, hour and end
    the number and hash of the last line, which show later whether the end of the file was removed.
    """

    def __init__(self, audit: AuditOptions, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._file = audit.file
        self._audit = audit
        self._tell = tell
        self._fd = -1
        self._lock = -1
        self._first = 1
        self._began = 0.0
        self._is_dirty = False
        self._done = 0
        self._batch_from: int | None = None
        self._next_try = 0.0
        self._next_sync = 0.0
        self._next_checkpoint = time.monotonic() + _CHECKPOINT_EVERY
        self.end = Position()
        self.size = 0
        self.failure = ""
        self.failures = 0
        self._try(self._open)

    def write(self, batch: Sequence[Entry]) -> bool:
        """Append a batch; return whether it was written."""
        if self.failure and time.monotonic() < self._next_try:
            return False
        return self._try(lambda: self._write(batch))

    def close(self) -> None:
        """Append the closing line and close the file."""
        if self._fd >= 0 and self._try(self._finish):
            self._checkpoint()
        self._release()

    def _try(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
            return False
        if self.failure:
            self.failure = ""
            self._tell(notice("audit_resumed", f"{self._file} is written again", "warning"))
        return True

    def _fail(self, reason: str) -> None:
        self._release()
        self.failures += 1
        self._next_try = time.monotonic() + _RETRY
        if self.failure != reason:
            self.failure = reason
            self._tell(
                notice("audit_failing", f"{self._file} cannot be written: {reason}", "error")
            )

    def _release(self) -> None:
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def _write(self, batch: Sequence[Entry]) -> None:
        if self._fd < 0:
            self._open()
        if batch:
            if self._is_full():
                self._rotate()
            self._batch_from = self.end.seq
            self._append([entry.to_document() for entry in batch[self._done :]])
        now = time.monotonic()
        if self._audit.sync == "always" or now >= self._next_sync:
            self._sync()
            self._next_sync = now + _SYNC_EVERY
        self._batch_from, self._done = None, 0
        if now >= self._next_checkpoint:
            self._next_checkpoint = now + _CHECKPOINT_EVERY
            self._checkpoint()
            self._remove_old()

    def _finish(self) -> None:
        self._append([notice(CLOSED, "the plugin stops")])
        self._sync()

    def _open(self) -> None:
        """Open the file, find the end of the chain and append a line that marks the start."""
        if not self._file.parent.exists():
            self._file.parent.mkdir(mode=0o750, parents=True)
        if self._lock < 0:
            self._lock = _locked(self._file.with_name(f".{self._file.name}.lock"))
        if self._file.exists() and not self._file.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._file, flags, 0o600)
        end = end_of(self._file)
        older = rotated(self._file)
        self._share([*older, self._file])
        self.end = end.position
        if end.position.seq == 0 and older:
            self.end = end_of(older[-1]).position
        if self._batch_from is not None:
            self._done += max(0, self.end.seq - self._batch_from)
            self._batch_from = None
        self.size = os.fstat(self._fd).st_size
        self._first, self._began = self._beginning()
        if not end.has_newline:
            self._put(b"\n")
        fields = {"torn": hashlib.sha256(end.torn).hexdigest()} if end.torn else {}
        self._append([notice(OPENED, f"line {self.end.seq} was the last", **fields)])
        self._sync()
        self._checkpoint()

    def _share(self, files: Sequence[Path]) -> None:
        """Let the group read the files; if that fails, tell so, and write them all the same."""
        if self._audit.readers is None:
            return
        try:
            for file in files:
                os.chown(file, -1, self._audit.readers, follow_symlinks=False)
                file.chmod(0o640)
        except OSError as error:
            reason = f"{error.filename} is not readable for the group: {error.strerror}"
            self._tell(notice("audit_not_shared", reason, "warning"))

    def _beginning(self) -> tuple[int, float]:
        """Number and time of the file's first line; for an empty file, the next number and now."""
        with self._file.open("rb") as lines:
            link = read_line(lines.readline().removesuffix(b"\n"))
        if link is None:
            return self.end.seq + 1, time.time()
        return link.seq, datetime.fromisoformat(link.document["timestamp"]).timestamp()

    def _append(self, documents: list[dict[str, Any]]) -> None:
        end, lines = self.end, []
        for document in documents:
            line, end = forge(document, end)
            lines.append(line)
        self._put(b"".join(lines))
        self.end = end

    def _put(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self.size += len(content)
        self._is_dirty = True

    def _sync(self) -> None:
        if self._is_dirty and self._audit.sync != "never":
            os.fsync(self._fd)
        self._is_dirty = False

    def _is_full(self) -> bool:
        too_old = time.time() - self._began >= self._audit.max_age * _HOUR
        return self.size >= self._audit.max_size << 20 or too_old

    def _rotate(self) -> None:
        """Rename the file and begin a new one, in which the chain continues."""
        self._sync()
        self._checkpoint()
        self._file.rename(rotated_name(self._file, self._first))
        os.close(self._fd)
        self._fd = -1
        self._open()
        self._remove_old()

    def _remove_old(self) -> None:
        oldest = time.time() - self._audit.retention * _DAY
        files = rotated(self._file)
        gone = []
        for file in files:
            if file.stat().st_mtime >= oldest:
                break
            gone.append(file)
        if not gone:
            return
        left = [first_number(file) for file in files[len(gone) :]] + [self._first]
        names = ", ".join(file.name for file in gone)
        removed = notice(REMOVED, f"older than {self._audit.retention} days: {names}")
        self._append([{**removed, "up_to": left[0] - 1}])
        for file in gone:
            file.unlink()

    def _checkpoint(self) -> None:
        place = f"line {self.end.seq} of {self._file}"
        self._tell(notice("audit_checkpoint", place, seq=self.end.seq, hash=self.end.hash))


def _locked(file: Path) -> int:
    """Lock a file until this process ends; raises ``OSError`` if another process has it."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise OSError(errno.EBUSY, "another process writes it") from None
    return lock
