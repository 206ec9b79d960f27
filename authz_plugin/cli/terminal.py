"""Output of the operator's tools: colour and progress on a terminal, plain text elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import click

_STYLES: Final[dict[str, dict[str, Any]]] = {
    "good": {"fg": "green"},
    "bad": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow"},
    "dim": {"dim": True},
    "head": {"bold": True},
}


json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

EXIT_NO: Final = 3
"""The exit status where the answer is no: denied, not sound, a check failed."""


def print_json(**fields: Any) -> None:
    """Print one JSON document, for programs."""
    click.echo(json.dumps({"version": 1, **fields}, indent=2))


def print_line(text: str, style: str = "", *, err: bool = False) -> None:
    """Print a line in one of the styles: good, bad, warning, dim, head, or none."""
    click.echo(click.style(text, **_STYLES[style]) if style else text, err=err)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on standard error what is being done, where that is a terminal, until it is done."""
    shown = sys.stderr.isatty()
    if shown:
        click.echo(f"\r\x1b[K{what} …", err=True, nl=False)
    try:
        yield
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)


class Progress:
    """One line on standard error that says how far something is, where that is a terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def show(self, done: int, total: int) -> None:
        if self._shown:
            click.echo(f"\r\x1b[K{done}/{total} {self._what}", err=True, nl=False)
