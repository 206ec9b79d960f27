"""The options for an audit file and a span of time, and the audited decisions in that span."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin.errors import SetupError
from authz_plugin.journal import chain
from authz_plugin.journal.recording import AuditedDecision, read_recordings
from authz_plugin.settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])

_AGO: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PROGRESS_INTERVAL: Final = 1000
"""Lines."""


def parse_time(value: str) -> datetime:
    """Parse a time in RFC 3339, a date (UTC), or a duration before now such as ``90m``.

    The units of a duration are ``s``, ``m``, ``h`` and ``d``. Raises ``click.BadParameter``.
    """
    ago = _AGO.fullmatch(value)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value} is no time like 2027-01-31T12:00:00Z, 2027-01-31 or 90m"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def file_option(command: _F) -> _F:
    """Add the option ``--file`` to a command."""
    return click.option(
        "--file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The audit file.  [default: audit.file of the settings]",
    )(command)


def span_options(command: _F) -> _F:
    """Add the options ``--since`` and ``--until`` to a command."""
    for option in (
        click.option("--until", metavar="TIME", type=parse_time, help="Before then."),
        click.option(
            "--since",
            metavar="TIME",
            type=parse_time,
            help="From then on: 2027-01-31T12:00:00Z, or 90m ago.",
        ),
    ):
        command = option(command)
    return command


def audit_file(file: Path | None, settings: Callable[[], Settings]) -> Path:
    """Return ``file``, or ``audit.file`` of the settings if it is None.

    Raises ``SetupError`` if neither is given or if the file does not exist.
    """
    file = file or settings().audit.file
    if file is None:
        raise SetupError("there is no audit file: name one with --file, or set audit.file")
    if not chain.files_of(file):
        raise SetupError(f"{file} is not there")
    return file


@dataclass(frozen=True, slots=True)
class AuditSpan:
    """The part of an audit file between two times; None for no limit.

    ``report_progress`` is called from time to time with the numbers of lines read and of all lines.
    """

    file: Path
    since: datetime | None
    until: datetime | None
    report_progress: Callable[[int, int], None]

    def decisions(self) -> Iterator[AuditedDecision]:
        """Read the decisions in the span; raises ``SetupError`` if a file cannot be read."""
        try:
            yield from self._read()
        except OSError as error:
            raise SetupError(f"{error.filename}: {error.strerror}") from error

    def _read(self) -> Iterator[AuditedDecision]:
        since = 0.0 if self.since is None else self.since.timestamp()
        last = max(chain.end_of(part).position.seq for part in chain.files_of(self.file)[-2:])
        first = None
        for decision in read_recordings(chain.read_links(self.file, since)):
            first = decision.seq if first is None else first
            if decision.seq % _PROGRESS_INTERVAL == 0:
                self.report_progress(decision.seq - first, last - first)
            if self._contains(decision):
                yield decision

    def _contains(self, decision: AuditedDecision) -> bool:
        time = datetime.fromisoformat(decision.record["timestamp"])
        return (self.since is None or time >= self.since) and (
            self.until is None or time < self.until
        )
