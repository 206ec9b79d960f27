"""Reports of dockerd find the decisions they belong to, and say so where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from authz_plugin.journal import outcomes
from authz_plugin.journal.outcomes import PendingRequests
from tests.journal.records import create, record, request, response


def test_a_report_finds_its_decision_and_brings_status_and_id() -> None:
    waiting, asked = PendingRequests(), create()
    decided = record(asked)
    waiting.add(decided)
    outcome = waiting.finish(response(asked, 201, {"Id": "abc123", "Warnings": []}))
    assert outcome.record is decided
    assert outcome.status == 201
    assert outcome.created == ("abc123",)
    assert outcome.elapsed is not None
    assert outcome.elapsed > 0
    assert len(waiting) == 0


def test_a_report_without_a_status_leaves_it_unknown() -> None:
    waiting, asked = PendingRequests(), request(uri="/v1.44/events")
    waiting.add(record(asked))
    outcome = waiting.finish(response(asked))
    assert outcome.status is None
    assert outcome.to_document()["status"] is None
    assert "no status" in outcome.to_document()["details"]


@pytest.mark.parametrize(
    "other",
    [
        request("HEAD"),
        request(uri="/v1.44/containers/json?all=1"),
        request(user="alice"),
        request(body=b"{}"),
    ],
    ids=["method", "target", "user", "body"],
)
def test_a_report_on_another_request_finds_no_decision(other: Any) -> None:
    waiting = PendingRequests()
    waiting.add(record(request()))
    outcome = waiting.finish(response(other, 200))
    assert outcome.record is None
    assert outcome.to_document()["decision_id"] is None
    assert "no decision is known" in outcome.to_document()["details"]
    assert len(waiting) == 1


def test_a_second_report_finds_nothing_more() -> None:
    waiting, asked = PendingRequests(), request()
    waiting.add(record(asked))
    assert waiting.finish(response(asked, 200)).record is not None
    assert waiting.finish(response(asked, 200)).record is None


def test_identical_requests_at_the_same_time_say_that_they_may_be_each_others() -> None:
    waiting, asked = PendingRequests(), create()
    first, second = record(asked), record(asked)
    waiting.add(first)
    waiting.add(second)
    closed = [waiting.finish(response(asked, 201, {"Id": id_})) for id_ in ("a", "b")]
    assert {outcome.record.decision_id for outcome in closed if outcome.record} == {
        first.decision_id,
        second.decision_id,
    }
    assert all(outcome.to_document()["identical"] for outcome in closed)


def test_identical_requests_one_after_the_other_are_no_doubt() -> None:
    waiting, asked = PendingRequests(), create()
    for _ in range(2):
        waiting.add(record(asked))
        assert not waiting.finish(response(asked, 201)).to_document()["identical"]


def test_a_lost_report_does_not_put_later_ones_out_of_step() -> None:
    waiting, asked = PendingRequests(), request()
    waiting.add(record(asked))
    for _ in range(3):
        decided = record(asked)
        waiting.add(decided)
        assert waiting.finish(response(asked, 200)).record is decided


def test_a_report_that_was_lost_is_not_waited_for_for_ever() -> None:
    waiting, asked = PendingRequests(), request()
    made = record(asked)
    lost = made._replace(started=made.started - outcomes._FORGOTTEN_AFTER - 1)
    waiting.add(lost)
    waiting.add(record(asked))
    assert len(waiting) == 1
    assert not waiting.finish(response(asked, 200)).to_document()["identical"]


def test_only_so_many_wait() -> None:
    waiting = PendingRequests(limit=3)
    asked = [request(uri=f"/v1.44/containers/{number}/json") for number in range(5)]
    for one in asked:
        waiting.add(record(one))
    assert len(waiting) == 3
    assert waiting.finish(response(asked[0], 200)).record is None
    assert waiting.finish(response(asked[4], 200)).record is not None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"Id": "abc"}),
        (201, None),
        (201, ["abc"]),
        (201, {"Id": 7}),
        (201, {"Id": "a b"}),
        (201, {"Id": "x" * 300}),
        (201, {"message": "abc"}),
    ],
)
def test_what_is_not_plainly_an_id_is_none(status: int, body: Any) -> None:
    waiting, asked = PendingRequests(), create()
    waiting.add(record(asked))
    assert waiting.finish(response(asked, status, body)).created == ()


def test_answers_of_operations_that_make_nothing_are_not_read() -> None:
    waiting, asked = PendingRequests(), request(uri="/v1.44/swarm/unlockkey")
    waiting.add(record(asked))
    outcome = waiting.finish(response(asked, 200, {"Id": "SWMKEY-1-secret", "UnlockKey": "s"}))
    assert outcome.created == ()
