"""Reads an audit file from its end, and follows it over rotations."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from authz_plugin.journal.chain import Link, first_number, read_line, rotated

_NUMBER: Final = re.compile(rb'\{"hash":"[0-9a-f]{64}","prev":"[0-9a-f]{64}","seq":(\d{1,18}),')
_BLOCK: Final = 1 << 16
_MOST: Final = 4 << 20
"""Bytes that are read at once."""

_MANY: Final = 10_000
"""Lines after which a poll goes on to no other file; the next poll does."""

_LONGEST: Final = 1 << 20
"""Bytes; the plugin writes no line of this length."""


def newest_first(
    file: Path,
    before: int | None = None,
    text: bytes = b"",
    go_on: Callable[[], None] = lambda: None,
) -> Iterator[bytes]:
    """Yield the lines of an audit file and of its renamed files, the last one first.

    A last line that is not complete is left out. Files all of whose lines have the number
    ``before`` or a greater one are left out, if their names say so; most lines without ``text`` are
    left out. ``go_on`` is called before each read: what it raises ends the search. Raises
    ``OSError``.
    """
    seen: set[int] = set()
    parts = [file]
    while parts:
        part = parts.pop(0)
        if before is not None and part is not file and first_number(part) >= before:
            continue
        try:
            content = part.open("rb")
        except FileNotFoundError:
            if part is not file:
                return  # it was removed, and so were the older ones
            parts = rotated(file)[::-1]
            continue
        with content:
            if part is file:  # listed while it is open: it may be renamed at any time
                parts = rotated(file)[::-1]
            inode = os.fstat(content.fileno()).st_ino
            if inode not in seen:
                seen.add(inode)
                pieces = _pieces(content, content.seek(0, os.SEEK_END), text, go_on)
                next(pieces)
                yield from pieces


def links_newest_first(file: Path, before: int | None = None) -> Iterator[Link]:
    """Yield the valid lines whose number is less than ``before``, the last one first.

    Raises ``OSError``.
    """
    for line in newest_first(file, before):
        number = _NUMBER.match(line)
        if before is None or (number and int(number[1]) < before):
            link = read_line(line)
            if link is not None:
                yield link


def decision_links(
    file: Path, decision_id: str, go_on: Callable[[], None] = lambda: None
) -> list[Link]:
    """Return the lines about a decision, the first one first: the decision, then its outcome.

    Empty if there is none. ``go_on`` is called before each read: what it raises ends the search.
    Raises ``OSError``.
    """
    wanted = f'"decision_id":"{decision_id}"'.encode()
    found: list[Link] = []
    for line in newest_first(file, text=wanted, go_on=go_on):
        link = read_line(line) if wanted in line else None
        if link is not None and link.document.get("decision_id") == decision_id:
            found.insert(0, link)
            if "verdict" in link.document:
                break
    return found


class Follower:
    """Reads what is appended to an audit file, for one thread.

    ``broken`` counts the lines that are not as they were written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content: BinaryIO | None = None
        self._rest = b""
        self._last = 0
        self.broken = 0

    def skip(self) -> None:
        """Begin after the last complete line, if the file is there; raises ``OSError``."""
        try:
            content = self._file.open("rb")
        except FileNotFoundError:
            return
        size = content.seek(0, os.SEEK_END)
        pieces = _pieces(content, size)
        self._rest = next(pieces)
        self._last = next((link.seq for link in map(read_line, pieces) if link is not None), 0)
        content.seek(size)
        self._content = content

    def poll(self) -> list[Link]:
        """Return the valid lines that were appended since the last call; raises ``OSError``."""
        if self._content is None:
            self._open(self._file)
        links = self._read()
        while len(links) < _MANY and self._was_renamed():
            rest = self._read()  # what came before it was renamed
            if self._is_at_end():
                self._open(self._next_file())
                rest += self._read()
            links += rest
        return links

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._content is not None:
            self._content.close()

    def _open(self, file: Path) -> None:
        content = file.open("rb")
        self.close()
        self._content, self._rest = content, b""

    def _was_renamed(self) -> bool:
        """Whether the file is another one, and all of the former one that counts is read."""
        assert self._content is not None
        try:
            now = self._file.stat()
        except FileNotFoundError:
            return False  # it was renamed just now, and is made at once
        own = os.fstat(self._content.fileno())
        return (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino)

    def _next_file(self) -> Path:
        """The file that continues the chain: several may have been renamed since the last call."""
        later = [part for part in rotated(self._file) if first_number(part) > self._last]
        return later[0] if self._last and later else self._file

    def _is_at_end(self) -> bool:
        assert self._content is not None
        return self._content.tell() >= os.fstat(self._content.fileno()).st_size

    def _read(self) -> list[Link]:
        assert self._content is not None
        if os.fstat(self._content.fileno()).st_size < self._content.tell():
            self._content.seek(0)  # it was cut
            self._rest = b""
        *lines, self._rest = (self._rest + self._content.read(_MOST)).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines, self._rest = [*lines, self._rest], b""
        links = [link for link in map(read_line, lines) if link is not None]
        self.broken += len(lines) - len(links)
        if links:
            self._last = links[-1].seq
        return links


def _pieces(
    content: BinaryIO,
    end: int,
    text: bytes = b"",
    go_on: Callable[[], None] = lambda: None,
) -> Iterator[bytes]:
    """Yield what is between the newlines before a byte of a file, the last piece first.

    After that one, pieces without ``text`` may be left out. ``go_on`` is called before each read.
    """
    tail, is_last = b"", True
    while end > 0:
        go_on()
        size = min(end, _BLOCK)
        end -= size
        content.seek(end)
        block = content.read(size) + tail
        if is_last or text in block:
            tail, *rest = block.split(b"\n")
            yield from reversed(rest)
            is_last = is_last and not rest
        else:
            tail = block.partition(b"\n")[0]
    yield tail
