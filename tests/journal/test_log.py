"""The log: which events come out, and in what form."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from authz_plugin.decision import Denial, UsedException
from authz_plugin.journal import log
from authz_plugin.journal.outcomes import PendingRequests
from authz_plugin.journal.record import DecisionRecord
from tests.journal.records import NO, create, record, request, response


def failed() -> DecisionRecord:
    return record()._replace(error="OPA did not answer in time")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("error", ["failure"]),
        ("warning", ["failure", "denial", "warning"]),
        ("info", ["failure", "denial", "warning", "write"]),
        ("debug", ["failure", "denial", "warning", "write", "read"]),
    ],
)
def test_each_level_adds_a_kind_of_decision(level: str, expected: list[str]) -> None:
    kinds = {
        "failure": failed(),
        "denial": record(create(), NO),
        "warning": record(create(), warnings=(NO,)),
        "write": record(create()),
        "read": record(),
    }
    wants = log.Filter(log.LogOptions(level=level)).wants
    assert [name for name, made in kinds.items() if wants(made)] == expected


def test_a_share_of_the_allowed_reads_is_logged() -> None:
    reads = [record() for _ in range(2000)]
    for share, low, high in ((0.0, 0, 0), (0.25, 400, 600), (1.0, 2000, 2000)):
        wants = log.Filter(log.LogOptions(reads=share)).wants
        assert low <= sum(map(wants, reads)) <= high


def test_a_sample_holds_the_same_decisions_however_often_it_is_taken() -> None:
    reads = [record() for _ in range(100)]
    first, second = (
        [log.Filter(log.LogOptions(reads=0.5)).wants(read) for read in reads] for _ in range(2)
    )
    assert first == second


def test_a_json_line_has_the_fields_that_are_promised() -> None:
    line = log.as_json(record(create(), NO).to_document())
    assert line.endswith(b"\n")
    fields = orjson.loads(line)
    assert list(fields)[:7] == [
        "timestamp",
        "source",
        "event",
        "decision_id",
        "operation",
        "status",
        "details",
    ]
    assert fields["event"] == "blocked_operation"
    assert fields["status"] == 403
    assert fields["details"] == "bind mount of /etc is not allowed"
    assert fields["rules"] == ["mounts.source HostConfig.Binds[0]"]
    assert fields["engine_ms"] > 0
    assert fields["duration_ms"] >= fields["engine_ms"]


def test_a_record_names_the_exceptions_that_were_used_without_secrets() -> None:
    used = UsedException("mounts.source", "Binds[0]", "2026-12-31", "OPS-4, token=s3cret")
    fields = record(create())._replace(exceptions=(used,)).to_document()
    assert fields["exceptions"] == [
        {
            "rule": "mounts.source",
            "field": "Binds[0]",
            "expires": "2026-12-31",
            "reason": "OPS-4, token=***",
        }
    ]


def test_the_status_of_an_allowed_request_is_unknown_until_dockerd_tells_it() -> None:
    assert record().to_document()["status"] is None


def test_a_person_reads_verdict_operation_rule_reason_and_id() -> None:
    denied = record(create(), NO)
    line = log.as_text(denied.to_document()).decode()
    for text in ("DENY", "container.create", "mounts.source", "/etc", denied.decision_id):
        assert text in line
    waiting, asked = PendingRequests(), create()
    allowed = record(asked)
    waiting.add(allowed)
    done = log.as_text(waiting.finish(response(asked, 201, {"Id": "c0ffee"})).to_document())
    assert all(text in done for text in (b"status 201", b"c0ffee", allowed.decision_id.encode()))


def test_a_person_sees_that_a_rule_only_warned() -> None:
    warned = record()._replace(warnings=(NO,))
    assert f"[warning: {NO.rule} {NO.field}]" in log.as_text(warned.to_document()).decode()


def test_nobodys_terminal_is_at_the_mercy_of_a_name() -> None:
    hostile = Denial("custom.x", "f", None, "a\x1b[2Jb\nforged line\u202e", "")
    line = log.as_text(record(create(), hostile).to_document())
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert "\u202e" not in line.decode()


def test_a_json_line_is_one_line_whatever_is_in_it() -> None:
    hostile = Denial("custom.x", "f", None, "a\nb\u2028\x00", "")
    assert log.as_json(record(create(), hostile).to_document()).count(b"\n") == 1


def test_the_form_is_for_people_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal, expected in ((True, log.as_text), (False, log.as_json)):
        monkeypatch.setattr(os, "isatty", lambda _, answer=is_terminal: answer)
        assert log.renderer("auto") is expected
        assert log.renderer("json") is log.as_json
        assert log.renderer("text") is log.as_text


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """What comes out of Python's logging."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    found: list[Any] = []
    log.route_logging(found.append, "info")
    yield found
    root.handlers = before
    root.setLevel(level)


def test_python_logging_comes_out_as_events(events: list[Any]) -> None:
    logging.getLogger("gunicorn.error").warning("worker %s is gone", 7)
    (event,) = events
    assert event["details"] == "worker 7 is gone"
    assert event["level"] == "warning"
    assert event["logger"] == "gunicorn.error"


def test_an_exception_is_named_and_not_quoted(events: list[Any]) -> None:
    try:
        int("s3cret")
    except ValueError:
        logging.getLogger("x").exception("failed on s3cret")
    assert "s3cret" not in str(events)
    assert "ValueError in x" in str(events)


def test_lines_that_cannot_be_written_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setattr(log, "_STANDARD_ERROR", write_end)
    lines = log.Lines(log.as_json)
    assert lines.write([record(), record()])
    assert lines.lost == 2
    os.close(write_end)


def test_the_resource_is_recorded_and_masked() -> None:
    document = record(request(uri="/v1.44/images/x%3Fpassword=s3cret/json")).to_document()
    assert document["resource"] == "x?password=***"
