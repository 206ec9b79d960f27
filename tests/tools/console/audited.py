"""Decisions in an audit file, written by the plugin's own writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from authz_plugin.decision import Denial
from authz_plugin.journal.audit import AuditFile, AuditOptions, Entry
from authz_plugin.journal.record import DecisionRecord, Outcome
from authz_plugin.journal.recording import RecordedDecision, recorded
from authz_plugin.protocol import AuthZReq
from tests.journal.records import document, record, request


@contextmanager
def writing(file: Path, **options: Any) -> Iterator[AuditFile]:
    """The writer of an audit file; ``max_size=0`` begins a new file with each batch."""
    book = AuditFile(AuditOptions(file=file, sync="never", **options), lambda _: None)
    yield book
    book.close()


def write(book: AuditFile, *entries: Entry) -> None:
    assert book.write(entries)


def decision(
    asked: AuthZReq | None = None, *denials: Denial, warnings: tuple[Denial, ...] = ()
) -> RecordedDecision:
    """The decision on a request, with its recorded input."""
    asked = asked or request()
    made = record(asked, *denials, warnings=warnings)
    return RecordedDecision(made, recorded(document(asked)))


def outcome(of: DecisionRecord, status: int = 201, created: tuple[str, ...] = ()) -> Outcome:
    return Outcome(of, datetime.now(UTC), of.user, of.method, status, created, 0.01)
