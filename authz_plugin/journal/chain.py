"""The lines of the audit file. Each holds the hash of the line before it, so that a line that is
changed or removed is detected.

A line is ``{"hash":"H","prev":"P","seq":N,…}``. H is the SHA-256, in hex, of the rest of the line
from ``"prev"`` on, without the newline; P is the hash of the line before (zeros for the first); N
counts from 1, across files. A full file is renamed to ``NAME.FIRST``, where FIRST is the number of
its first line with 12 digits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

GENESIS: Final = "0" * 64

OPENED: Final = "audit_opened"
CLOSED: Final = "audit_closed"
REMOVED: Final = "audit_removed"

_HEAD: Final = re.compile(
    rb'\{"hash":"([0-9a-f]{64})",("prev":"([0-9a-f]{64})","seq":(\d{1,18}),.*)'
)
_NUMBER: Final = re.compile(r"\d{12}")
_BLOCK: Final = 1 << 16


class Link(NamedTuple):
    """A valid line: its position in the chain, and the document in it."""

    hash: str
    prev: str
    seq: int
    document: Mapping[str, Any]


class Position(NamedTuple):
    """The number and hash of the last line of a chain, from which the next line is made."""

    seq: int = 0
    hash: str = GENESIS


class End(NamedTuple):
    """The end of one file: the position of its last valid line, the bytes after that line, and
    whether the file ends with a newline."""

    position: Position
    residue: bytes
    has_newline: bool

    @property
    def torn(self) -> bytes:
        """The bytes of an incomplete last line, left by an interrupted write; else empty."""
        return b"" if b"\n" in self.residue else self.residue


class Finding(NamedTuple):
    """A result of ``verify``. ``is_fault`` is true for changed or missing lines, and false for the
    normal traces of a crash or a running plugin."""

    place: str
    message: str
    is_fault: bool = True


def forge(document: Mapping[str, Any], end: Position) -> tuple[bytes, Position]:
    """The line for a document after the position ``end``, and the position after that line."""
    seq = end.seq + 1
    rest = b'"prev":"%s","seq":%d,%s' % (end.hash.encode(), seq, orjson.dumps(document)[1:])
    digest = hashlib.sha256(rest).hexdigest()
    return b'{"hash":"%s",%s\n' % (digest.encode(), rest), Position(seq, digest)


def read_line(line: bytes) -> Link | None:
    """Parse a line without its newline; None if its hash or its form is wrong."""
    found = _HEAD.fullmatch(line)
    if found is None or hashlib.sha256(found[2]).hexdigest().encode() != found[1]:
        return None
    return Link(found[1].decode(), found[3].decode(), int(found[4]), orjson.loads(line))


def rotated(file: Path) -> list[Path]:
    """The renamed files of an audit file, oldest first."""
    found = file.parent.glob(f"{file.name}.*")
    return sorted(f for f in found if _NUMBER.fullmatch(f.name.removeprefix(f"{file.name}.")))


def rotated_name(file: Path, first: int) -> Path:
    """The name of a full file whose first line has the number ``first``."""
    return file.with_name(f"{file.name}.{first:012}")


def first_number(file: Path) -> int:
    """The number of the first line of a rotated file."""
    return int(file.name.rpartition(".")[2])


def files_of(file: Path) -> list[Path]:
    """The renamed files of an audit file and the file itself, if it exists, oldest first."""
    return [*rotated(file), *([file] if file.exists() else [])]


def read_links(file: Path, since: float = 0.0) -> Iterator[Link]:
    """The valid lines of an audit file and of its renamed files, in order.

    Files that were last written before ``since``, in seconds since 1970, are skipped.
    """
    for part in files_of(file):
        if part.stat().st_mtime < since:
            continue
        with part.open("rb") as lines:
            for line in lines:
                link = read_line(line.removesuffix(b"\n"))
                if link is not None:
                    yield link


def end_of(file: Path) -> End:
    """The end of one file, read backwards in blocks; raises ``OSError``."""
    tail = b""
    with file.open("rb") as content:
        start = content.seek(0, 2)
        while start > 0:
            size = min(start, _BLOCK)
            start -= size
            content.seek(start)
            tail = content.read(size) + tail
            end = _last_sound(tail, is_whole=start == 0)
            if end is not None:
                return end
    return End(Position(), tail, has_newline=tail.endswith(b"\n") or not tail)


def verify(file: Path, expected: Position | None = None) -> tuple[Position, list[Finding]]:
    """Check an audit file and its renamed files; return the end of the chain and the findings.

    ``expected`` are number and hash of a line that must be present. Raises ``OSError``.
    """
    check = _Check(expected)
    for part in files_of(file):
        with part.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                check.see(f"{part}:{number}", line)
    return check.finish()


class _Check:
    """The state of ``verify``: called with each line in order, then finished."""

    def __init__(self, expected: Position | None) -> None:
        self._expected = expected
        self._met = expected is None
        self._end: Position | None = None
        self._begin = 1
        self._removed_up_to = 0
        self._broken: list[tuple[str, bytes]] = []
        self._is_cut = False
        self._last_event = ""
        self._findings: list[Finding] = []

    def see(self, place: str, line: bytes) -> None:
        text = line.removesuffix(b"\n")
        self._is_cut = text == line
        link = read_line(text)
        if link is None:
            self._broken.append((place, text))
            return
        self._explain_broken(link)
        if self._end is None:
            self._begin = link.seq
            if link.seq == 1 and link.prev != GENESIS:
                self._fault(place, "line 1 does not begin a chain")
        elif link.seq <= self._end.seq:
            self._fault(place, f"line {link.seq} comes after line {self._end.seq}")
        elif link.seq > self._end.seq + 1:
            self._fault(place, f"lines {self._end.seq + 1} to {link.seq - 1} are missing")
        elif link.prev != self._end.hash:
            self._fault(place, f"line {link.seq - 1} is not the one that line {link.seq} followed")
        self._end = Position(link.seq, link.hash)
        self._met = self._met or self._end == self._expected
        self._last_event = link.document.get("event", "")
        if self._last_event == REMOVED:
            self._removed_up_to = max(self._removed_up_to, link.document.get("up_to", 0))

    def finish(self) -> tuple[Position, list[Finding]]:
        end = self._end or Position()
        if len(self._broken) == 1 and self._is_cut:
            self._note(self._broken[0][0], "the last line is torn; the next start will mark it")
        elif self._broken:
            self._report_changed()
        elif end.seq and self._last_event != CLOSED:
            self._note(f"line {end.seq}", "is not an end: the plugin runs, or was killed")
        if self._begin > 1 and self._removed_up_to != self._begin - 1:
            self._fault("the oldest file", f"lines 1 to {self._begin - 1} are missing")
        if not self._met and self._expected is not None:
            self._fault("the chain", f"has no line {self._expected.seq} with the expected hash")
        return end, self._findings

    def _explain_broken(self, link: Link) -> None:
        """Report the invalid lines before a valid one: as a note if it is one line that a crash cut
        off, whose hash is in the line that the next start wrote, else as changed."""
        if not self._broken:
            return
        torn = link.document.get("torn")
        (place, text), *more = self._broken
        digest = hashlib.sha256(text).hexdigest()
        if not more and link.document.get("event") == OPENED and torn == digest:
            self._note(place, f"a torn line of {len(text)} bytes, marked by line {link.seq}")
        else:
            self._report_changed()
        self._broken = []

    def _report_changed(self) -> None:
        for place, _ in self._broken:
            self._fault(place, "the line is not as it was written")

    def _fault(self, place: str, message: str) -> None:
        self._findings.append(Finding(place, message))

    def _note(self, place: str, message: str) -> None:
        self._findings.append(Finding(place, message, is_fault=False))


def _last_sound(tail: bytes, *, is_whole: bool) -> End | None:
    """The last valid line in ``tail``, the last bytes of a file; ``is_whole`` if these are all."""
    has_newline = tail.endswith(b"\n")
    stop = len(tail)
    while stop > 0:
        newline = tail.rfind(b"\n", 0, stop - 1)
        if newline < 0 and not is_whole:
            return None
        link = read_line(tail[newline + 1 : stop].removesuffix(b"\n"))
        if link is not None:
            return End(Position(link.seq, link.hash), tail[stop:], has_newline=has_newline)
        stop = newline + 1
    return None
