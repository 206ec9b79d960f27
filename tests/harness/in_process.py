"""The command line within this process: what it prints and ends with, without another Python."""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO
from unittest import mock

from authz_plugin import cli

_HANDLED: Final = (signal.SIGTERM, signal.SIGHUP)
"""The signals that the command line handles in its own way."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended, with what it wrote."""

    returncode: int
    stdout: str
    stderr: str


_INHERITED: Final[Mapping[str, str]] = {}


def run_command(
    folder: Path, *arguments: str, environment: Mapping[str, str] = _INHERITED
) -> Ended:
    """Run ``opa-authz`` with arguments in a folder, as its program does.

    ``environment`` is added to that of this process, without the variables of the Docker CLI
    and of the program itself.
    """
    out = io.BytesIO()
    status: object = 0
    with (
        redirect_stdout(io.TextIOWrapper(out, "utf-8", write_through=True)) as text,
        _standard_error() as err,
        mock.patch.object(sys, "argv", ["opa-authz", *arguments]),
        mock.patch.dict(os.environ, {**_inherited(), **environment}, clear=True),
        _in_folder(folder),
    ):
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        text.flush()
        err.seek(0)
        written = err.read()
    code = status if isinstance(status, int) else int(status is not None)
    return Ended(code, out.getvalue().decode(), written)


@contextmanager
def _standard_error() -> Iterator[TextIO]:
    """A file for what this process and its children write to standard error."""
    before = os.dup(2)
    with tempfile.TemporaryFile("w+") as file, redirect_stderr(file):
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(before, 2)
            os.close(before)


def _inherited() -> dict[str, str]:
    own = ("DOCKER_", "OPA_AUTHZ_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Change to a folder, and afterwards put back that and the signals' handlers."""
    before = Path.cwd()
    handlers = {number: signal.getsignal(number) for number in _HANDLED}
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
