"""Fail closed: each thing that can go wrong on the way is a denial that says so."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

import orjson
import pytest

from authz_plugin.authorizer import Authorizer
from authz_plugin.decision import Decision, Denial
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import EngineError
from authz_plugin.hostpaths import LocalHostPaths, Resolution
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.protocol import AuthZRes

PING = orjson.dumps({"RequestMethod": "GET", "RequestUri": "/_ping"})
LIST = orjson.dumps({"RequestMethod": "GET", "RequestUri": "/containers/json"})


class Engine:
    """An engine that says what it was told to say."""

    def __init__(self, answer: Decision | Exception) -> None:
        self.answer = answer
        self.documents: list[dict[str, Any]] = []
        self.decision_ids: list[str] = []

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        self.documents.append(document)
        self.decision_ids.append(decision_id)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def decision(*denials: Denial, warnings: tuple[Denial, ...] = ()) -> Decision:
    return Decision(not denials, denials, warnings, frozenset(), "production", "abc")


def authorize(
    message: bytes, answer: Decision | Exception, **options: Any
) -> tuple[bool, str, DecisionRecord]:
    return decide(message, Engine(answer), **options)[:3]


def decide(
    message: bytes, engine: Engine, **options: Any
) -> tuple[bool, str, DecisionRecord, Mapping[str, Any] | None]:
    """The answer, its message, the record, and the document that the record is given with."""
    given: list[tuple[DecisionRecord, Mapping[str, Any] | None]] = []
    answered = Authorizer(
        engine,
        LocalHostPaths(),
        UnseenEngineState(),
        lambda record, document: given.append((record, document)),
        **options,
    ).authorize(message)
    ((record, document),) = given
    return answered.allow, answered.message, record, document


NO = Denial("mounts.source", "HostConfig.Binds[0]", "/etc", "bind mount of /etc is not allowed", "")


def test_what_the_engine_allows_is_allowed() -> None:
    allow, message, record = authorize(LIST, decision())
    assert allow
    assert message == ""
    assert record.verdict == "allow"


def test_what_the_engine_denies_is_denied_with_rule_field_and_decision_id() -> None:
    allow, message, record = authorize(LIST, decision(NO))
    assert not allow
    assert "mounts.source HostConfig.Binds[0]" in message
    assert message.endswith(f"(decision {record.decision_id})")


def test_a_warning_is_recorded_and_allows() -> None:
    allow, _, record = authorize(LIST, decision(warnings=(NO,)))
    assert allow
    assert record.warnings == (NO,)


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (b"", "request.message"),
        (b"\x00", "request.message"),
        (b"[]", "request.message"),
        (b"{}", "request.message"),
        (
            orjson.dumps({"RequestMethod": "GET", "RequestUri": "/nope"}),
            "request.unknown-operation",
        ),
        (orjson.dumps({"RequestMethod": "GET", "RequestUri": "/a#b"}), "request.uri"),
        (
            orjson.dumps({"RequestMethod": "POST", "RequestUri": "/containers/create"}),
            "request.body-withheld",
        ),
    ],
)
def test_a_request_that_is_not_understood_is_denied_unasked(message: bytes, rule: str) -> None:
    engine = Engine(decision())
    allow, text, _, document = decide(message, engine)
    assert not allow
    assert rule in text
    assert document is None
    assert engine.documents == []


def test_an_engine_without_a_decision_denies() -> None:
    allow, message, record = authorize(LIST, EngineError("OPA did not answer in time"))
    assert not allow
    assert "request.engine" in message
    assert record.error == "OPA did not answer in time"


@pytest.mark.parametrize("defect", [KeyError("x"), RecursionError(), MemoryError(), ValueError()])
def test_a_defect_denies_and_tells_the_operator_where_but_not_the_user(defect: Exception) -> None:
    allow, message, record = authorize(LIST, defect)
    assert not allow
    assert "request.internal" in message
    assert "Traceback" not in message
    assert type(defect).__name__ not in message
    assert record.error.startswith(f"{type(defect).__name__} at tests.test_authorizer:")


def test_an_answer_that_cannot_be_recorded_is_denied_and_the_denial_is_recorded() -> None:
    allow, message, record = authorize(LIST, cast("Decision", None))
    assert not allow
    assert "request.internal" in message
    assert record.decision_id in message
    assert record.verdict == "deny"
    assert [denial.rule for denial in record.denials] == ["request.internal"]


def test_a_defect_in_reading_the_host_denies() -> None:
    class Broken:
        def resolve(self, path: str) -> Resolution:
            raise OSError(path)

        def holds_mounts(self, path: str) -> bool | None:
            raise OSError(path)

    body = orjson.dumps({"Image": "x", "HostConfig": {"Binds": ["/a:/b"]}})
    message = {
        "RequestMethod": "POST",
        "RequestUri": "/containers/create",
        "RequestBody": base64.b64encode(body).decode(),
    }
    answer = Authorizer(
        Engine(decision()), Broken(), UnseenEngineState(), lambda *_: None
    ).authorize(orjson.dumps(message))
    assert not answer.allow
    assert "request.internal" in answer.message


@pytest.mark.parametrize(
    ("message", "allowed", "expected"),
    [(PING, True, True), (PING, False, False), (LIST, True, False)],
    ids=["a ping, if that is allowed", "a ping otherwise", "nothing else"],
)
def test_without_an_engine_only_pings_may_pass(
    message: bytes, allowed: bool, expected: bool
) -> None:
    allow, _, record = authorize(message, EngineError("down"), ping_without_engine=allowed)
    assert allow is expected
    assert record.error == "down"


def test_a_ping_that_the_policy_denies_does_not_pass_for_want_of_an_engine() -> None:
    assert not authorize(PING, decision(NO), ping_without_engine=True)[0]


def test_no_value_of_the_request_is_recorded() -> None:
    _, _, record = authorize(LIST, decision(Denial("x.y", "f", "s3cret", "message", "hint")))
    assert b"s3cret" not in orjson.dumps(record.to_document())


@pytest.mark.parametrize(
    ("message", "allow"),
    [
        (PING, True),
        (orjson.dumps({**orjson.loads(PING), "ResponseStatusCode": 500}), True),
        (b"", False),
        (b"nonsense", False),
        (orjson.dumps({**orjson.loads(PING), "ResponseStatusCode": "x"}), False),
    ],
)
def test_a_response_report_is_acknowledged_if_it_is_understood(message: bytes, allow: bool) -> None:
    plugin = Authorizer(
        Engine(EngineError("never asked")), LocalHostPaths(), UnseenEngineState(), lambda *_: None
    )
    assert plugin.acknowledge(message).allow is allow


def test_every_way_out_is_measured() -> None:
    assert authorize(LIST, decision())[2].times.total > 0
    assert authorize(b"", decision())[2].times.total > 0


def test_what_cannot_be_recorded_is_denied_where_the_journal_says_so() -> None:
    unrecorded = Denial("request.audit", "", None, "this cannot be recorded", "")
    for answer in (decision(), decision(NO), EngineError("down")):
        engine = Engine(answer)
        allow, message, record, document = decide(LIST, engine, audit_block=lambda: unrecorded)
        assert not allow
        assert message.startswith("container.list: ")
        assert "request.audit" in message
        assert record.verdict == "deny"
        assert record.denials == (unrecorded,)
        assert (record.method, record.operation, record.engine) == ("GET", "container.list", "")
        assert record.times.read > 0
        assert engine.documents == [], "the engine is not asked"
        assert document is None


def test_a_request_that_is_neither_understood_nor_recorded_names_both_rules() -> None:
    unrecorded = Denial("request.audit", "", None, "this cannot be recorded", "")
    record = authorize(b"", decision(), audit_block=lambda: unrecorded)[2]
    assert [denial.rule for denial in record.denials] == ["request.message", "request.audit"]


def test_a_ping_without_an_engine_is_denied_where_it_cannot_be_recorded() -> None:
    unrecorded = Denial("request.audit", "", None, "this cannot be recorded", "")
    options = {"ping_without_engine": True, "audit_block": lambda: unrecorded}
    assert not authorize(PING, EngineError("down"), **options)[0]


def test_the_document_is_recorded_if_the_policies_decided_on_it() -> None:
    for answer in (decision(), decision(NO)):
        engine = Engine(answer)
        assert decide(LIST, engine)[3] is engine.documents[0]
    for failing in (EngineError("down"), KeyError("x")):
        assert decide(LIST, Engine(failing))[3] is None


def test_a_decision_that_allows_nothing_and_names_no_denial_denies() -> None:
    nothing = Decision(False, (), (), frozenset(), "production", "abc")  # noqa: FBT003
    assert not authorize(LIST, nothing)[0]


def test_a_report_is_handed_to_the_journal_if_it_is_understood() -> None:
    reports: list[AuthZRes] = []
    plugin = Authorizer(
        Engine(EngineError("never asked")),
        LocalHostPaths(),
        UnseenEngineState(),
        lambda *_: None,
        finish=reports.append,
    )
    plugin.acknowledge(orjson.dumps({**orjson.loads(LIST), "ResponseStatusCode": 304}))
    plugin.acknowledge(b"nonsense")
    assert [report.status for report in reports] == [304]


def test_the_engine_can_know_the_decisions_id() -> None:
    engine = Engine(decision())
    assert decide(LIST, engine)[2].decision_id == engine.decision_ids[0]


def test_the_record_says_where_the_time_went() -> None:
    record = authorize(LIST, decision())[2]
    assert record.engine == "opa"
    times = record.times
    parts = (times.read, times.document, times.engine)
    assert min(parts) > 0
    assert sum(parts) <= times.total
    unread = authorize(b"", decision())[2]
    assert unread.engine == ""
    assert unread.times.engine == 0
