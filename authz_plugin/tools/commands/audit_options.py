"""The options that name an audit file and a span of time, and the decisions that they stand for."""

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
_SHOWN_EVERY: Final = 1000


def moment(value: str) -> datetime:
    """A time: RFC 3339, a date, or how long ago (``90m``)."""
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
    """``--file``."""
    return click.option(
        "--file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The audit file.  [default: audit.file of the settings]",
    )(command)


def span_options(command: _F) -> _F:
    """``--since`` and ``--until``."""
    for option in (
        click.option("--until", metavar="TIME", type=moment, help="Before then."),
        click.option(
            "--since",
            metavar="TIME",
            type=moment,
            help="From then on: 2027-01-31T12:00:00Z, or 90m ago.",
        ),
    ):
        command = option(command)
    return command


def audit_file(file: Path | None, settings: Callable[[], Settings]) -> Path:
    """The audit file that is named, or that of the settings; raises ``SetupError``."""
    file = file or settings().audit.file
    if file is None:
        raise SetupError("there is no audit file: name one with --file, or set audit.file")
    if not chain.files_of(file):
        raise SetupError(f"{file} is not there")
    return file


@dataclass(frozen=True, slots=True)
class Trail:
    """The decisions of an audit file in a span of time, as often as they are asked for.

    ``show`` is told now and then how many lines were read, and of how many.
    """

    file: Path
    since: datetime | None
    until: datetime | None
    show: Callable[[int, int], None]

    def __call__(self) -> Iterator[AuditedDecision]:
        try:
            yield from self._recordings()
        except OSError as error:
            raise SetupError(f"{error.filename}: {error.strerror}") from error

    def _recordings(self) -> Iterator[AuditedDecision]:
        since = 0.0 if self.since is None else self.since.timestamp()
        last = max(chain.end_of(part).position.seq for part in chain.files_of(self.file)[-2:])
        first = None
        for recording in read_recordings(chain.read_links(self.file, since)):
            first = recording.seq if first is None else first
            if recording.seq % _SHOWN_EVERY == 0:
                self.show(recording.seq - first, last - first)
            if self._is_in(recording):
                yield recording

    def _is_in(self, recording: AuditedDecision) -> bool:
        time = datetime.fromisoformat(recording.record["timestamp"])
        return (self.since is None or time >= self.since) and (
            self.until is None or time < self.until
        )
