"""The journal as the authorizer sees it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from authz_plugin.journal import chain, log
from authz_plugin.journal.audit import AuditOptions
from authz_plugin.journal.journal import Journal
from authz_plugin.journal.shared_status import SharedStatus
from tests.harness.plugin import wait_for
from tests.journal.records import NO, create, document, record, request, response


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The events that are logged."""
    found: list[Any] = []

    def write(_: log.Lines, events: list[log.Event]) -> bool:
        found.extend(log._document(event) for event in events)
        return True

    monkeypatch.setattr(log.Lines, "write", write)
    return found


@pytest.fixture
def open_journal(lines: list[Any], tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    opened: list[Journal] = []

    def make(log_: log.LogOptions | None = None, *, audited: bool = True, **audit: Any) -> Journal:
        shared_status = SharedStatus()
        shared_status.update(engine_up=True)
        options = AuditOptions(**{"file": tmp_path / "audit.jsonl", **audit}) if audited else None
        opened.append(Journal(log_ or log.LogOptions(), options, shared_status, (), {}))
        return opened[-1]

    yield make
    for journal in opened:
        journal.stop()


def test_a_request_makes_one_decision_and_one_outcome_with_one_id(
    open_journal: Callable[..., Journal], lines: list[Any], tmp_path: Path
) -> None:
    journal, asked = open_journal(), create()
    journal.record(record(asked))
    journal.finish(response(asked, 201, {"Id": "c0ffee"}))
    journal.stop()
    events = [document for document in lines if "decision_id" in document]
    assert [e["event"] for e in events] == ["allowed_operation", "finished_operation"]
    assert len({e["decision_id"] for e in events}) == 1
    audited = [link.document for link in chain.read_links(tmp_path / "audit.jsonl")]
    assert [d["event"] for d in audited[1:3]] == ["allowed_operation", "finished_operation"]


def test_a_denied_request_is_not_waited_for(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal()
    journal.record(record(create(), NO))
    assert len(journal._pending) == 0


def test_an_outcome_is_logged_if_its_decision_is(
    open_journal: Callable[..., Journal], lines: list[Any]
) -> None:
    journal, asked = open_journal(), request()
    journal.record(record(asked))
    journal.finish(response(asked, 200))
    journal.stop()
    assert not [document for document in lines if "decision_id" in document]


def test_an_outcome_without_decision_is_logged(
    open_journal: Callable[..., Journal], lines: list[Any]
) -> None:
    journal = open_journal()
    journal.finish(response(request(), 200))
    journal.stop()
    (event,) = [document for document in lines if "decision_id" in document]
    assert event["decision_id"] is None


@pytest.mark.parametrize("deny", [False, True])
def test_a_failing_file_denies_if_that_was_chosen_and_is_told_either_way(
    open_journal: Callable[..., Journal], tmp_path: Path, *, deny: bool
) -> None:
    (tmp_path / "nowhere").touch()
    journal = open_journal(file=tmp_path / "nowhere/audit.jsonl", deny_on_failure=deny)
    assert (journal.audit_block() is not None) is deny
    health = journal.health()
    assert health.faults == {"audit": "Not a directory"}
    assert health.is_ready is not deny


def test_a_queue_that_is_full_denies_if_that_was_chosen(
    open_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(deny_on_failure=True, queue=100)
    gate, waits = threading.Event(), threading.Event()
    write = journal._file.write

    def write_later(batch: list[Any]) -> bool:
        waits.set()
        gate.wait()
        return write(batch)

    monkeypatch.setattr(journal._audit, "_write", write_later)
    journal.record(record())
    assert waits.wait(10)
    assert journal.audit_block() is None
    for _ in range(100):
        journal.record(record())
    assert journal.audit_block() is not None
    assert journal._audit is not None
    for _ in range(512):  # requests that asked before the queue was full
        journal.record(record())
    assert journal._audit.dropped == 0
    journal.record(record(create(), NO))
    assert journal._audit.dropped == 1
    gate.set()
    wait_for(lambda: journal.audit_block() is None, "the queue to empty")


def test_without_an_audit_file_nothing_hinders(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal(audited=False)
    journal.record(record())
    assert journal.audit_block() is None
    assert journal.health().faults == {}


def test_an_engine_that_is_down_is_a_fault_and_not_ready(
    open_journal: Callable[..., Journal],
) -> None:
    journal = open_journal()
    journal._shared_status.update(engine_up=False)
    assert journal.health().faults == {"engine": "OPA does not answer"}
    assert not journal.health().is_ready


def audited(file: Path) -> list[Any]:
    """The decisions of an audit file."""
    documents = [link.document for link in chain.read_links(file)]
    return [document for document in documents if "verdict" in document]


def test_inputs_are_in_the_audit_file_alone_and_the_chain_holds(
    open_journal: Callable[..., Journal], lines: list[Any], tmp_path: Path
) -> None:
    journal = open_journal(log.LogOptions(level="debug"), inputs=True)
    made = record(create(Privileged=True), NO)
    journal.record(made, document(create(Privileged=True)))
    journal.stop()
    (line,) = audited(tmp_path / "audit.jsonl")
    assert line["input"]["body"]["HostConfig"]["Privileged"] is True
    assert line["rules"] == ["mounts.source HostConfig.Binds[0]"]
    assert [document["decision_id"] for document in lines if "verdict" in document] == [
        made.decision_id
    ]
    assert not any("input" in document for document in lines)
    _, findings = chain.verify(tmp_path / "audit.jsonl")
    assert not findings


def test_no_input_is_written_unless_that_is_set(
    open_journal: Callable[..., Journal], tmp_path: Path
) -> None:
    journal = open_journal()
    journal.record(record(create()), document(create()))
    journal.stop()
    assert ["input" in line for line in audited(tmp_path / "audit.jsonl")] == [False]


@pytest.mark.parametrize("inputs", [True, False])
def test_the_journal_keeps_no_document(
    open_journal: Callable[..., Journal], *, inputs: bool
) -> None:
    whole = document(create())
    references = sys.getrefcount(whole)
    journal = open_journal(inputs=inputs)
    journal.record(record(create()), whole)
    assert len(journal._pending) == 1
    assert sys.getrefcount(whole) == references


def test_inputs_that_are_too_long_or_too_many_are_left_out_and_their_decisions_are_not(
    open_journal: Callable[..., Journal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(inputs=True)
    long = create(Binds=[f"/srv/{'x' * 40000}:/x"])
    journal.record(record(long), document(long))
    waiting = journal._audit
    assert waiting is not None
    wait_for(lambda: len(waiting) == 0, "the first line")
    monkeypatch.setattr("authz_plugin.journal.journal._INPUTS", 3)
    monkeypatch.setattr("authz_plugin.journal.writer.GATHERING", 1.0)
    for _ in range(5):
        journal.record(record(), document())
    journal.stop()
    lines = audited(tmp_path / "audit.jsonl")
    assert [line["input"] is None for line in lines] == [True, *[False] * 3, True, True]
