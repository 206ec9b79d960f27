"""Commands and their output in a page of the docs, for the tests that run them.

A ``sh`` block holds commands, each of which must end with status 0. A ``console`` block is a
session: a command after ``# ``, then the output that is shown of it and, if its exit status is not
0, a last line ``[exit status N]``. In output, ``…`` stands for any text in a line, and a line that
is ``…`` alone stands for any number of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC: Final = re.compile(r"<<'(\w+)'")
_STATUS: Final = re.compile(r"\[exit status (\d+)\]")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a page, its exit status and the output that the page shows, if it does."""

    command: str
    status: int = 0
    output: str | None = None

    def shows(self, output: str) -> bool:
        """Whether the page's output stands for this one."""
        if self.output is None:
            return True
        lines = [
            r"(?:[^\n]*\n)*" if line == "…" else _line(line) for line in self.output.splitlines()
        ]
        actual = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
        return re.fullmatch("".join(lines), actual) is not None


def steps(page: Path) -> Iterator[Step]:
    """Yield the commands of a page in their order."""
    for language, block in _BLOCK.findall(page.read_text()):
        yield from _commands(block) if language == "sh" else _session(block)


def _commands(block: str) -> Iterator[Step]:
    lines = iter(block.splitlines())
    for line in lines:
        command = [line]
        heredoc = _HEREDOC.search(line)
        while heredoc and command[-1] != heredoc[1]:
            command.append(next(lines))
        while command[-1].endswith("\\"):
            command.append(next(lines))
        if line and not line.startswith("#"):
            yield Step("\n".join(command))


def _session(block: str) -> Iterator[Step]:
    for text in re.split(r"^# ", block, flags=re.MULTILINE)[1:]:
        command, _, output = text.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = f"{command}\n{more}"
        status = _STATUS.search(output)
        yield Step(command, int(status[1]) if status else 0, _STATUS.sub("", output).rstrip())


def _line(line: str) -> str:
    return "[^\n]*".join(re.escape(part.rstrip()) for part in line.split("…")) + "\n"
