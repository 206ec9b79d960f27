"""Each shipped profile enforces the guarantees of docs/profiles.md by the rules named there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from authz_plugin import dockerd, policy
from authz_plugin.caller import Caller
from authz_plugin.decision import Decision, Denial
from authz_plugin.document import input_document
from authz_plugin.engine import Engine
from authz_plugin.errors import Refused
from tests.fakes import FakeEngineState, FakeHostPaths
from tests.generate.profiles import GENERAL
from tests.profile_guarantees import (
    COMMON_GUARANTEES,
    GUARANTEES,
    MOVED,
    WITHOUT_GUARANTEES,
    Guarantee,
    Request,
    sent,
)

HOST = FakeHostPaths({f"/workspace/{MOVED}": "/etc"})
STATE = FakeEngineState({MOVED: [f"/workspace/{MOVED}"]})

ENFORCING = [name for name in policy.profiles() if name != WITHOUT_GUARANTEES]
CASES = [
    (name, guarantee) for name, guarantees in GUARANTEES.items() for guarantee in guarantees
] + [(name, guarantee) for name in ENFORCING for guarantee in COMMON_GUARANTEES]


@pytest.fixture
def engine(every_profile: Engine) -> Engine:
    return every_profile


def test_every_profile_for_hosts_has_guarantees() -> None:
    assert set(GUARANTEES) == set(GENERAL)


@pytest.mark.parametrize(("profile", "guarantee"), CASES, ids=lambda value: str(value)[:60])
def test_a_profile_enforces_a_guarantee_by_the_rules_that_it_names(
    engine: Engine, profile: str, guarantee: Guarantee
) -> None:
    denied = {str(request): _rules(engine, profile, request) for request in guarantee.denied}
    kept = set(guarantee.rules)
    assert [request for request, rules in denied.items() if not rules & kept] == []
    assert kept - set().union(*denied.values()) == set(), "these rules deny none of the requests"


@pytest.mark.parametrize("guarantee", COMMON_GUARANTEES, ids=lambda value: str(value)[:60])
def test_observe_records_what_the_others_deny_and_allows_it(
    engine: Engine, guarantee: Guarantee
) -> None:
    for request in guarantee.denied:
        try:
            decision = _decide(engine, WITHOUT_GUARANTEES, request)
        except Refused:
            continue
        assert decision.allow
        assert {denial.rule for denial in decision.warnings} & set(guarantee.rules)


@pytest.mark.parametrize(
    ("request_", "recorded"),
    [
        (("GET", "/_ping", None), False),
        (("GET", "/version", None), False),
        (("GET", "/containers/json", None), True),
        (("GET", "/info", None), True),
        (("GET", "/events", None), True),
        (("POST", "/containers/web/start", None), True),
        (("POST", "/build?t=app", b"tar"), True),
    ],
    ids=str,
)
def test_observe_records_every_request_but_ping_and_version(
    engine: Engine, request_: Request, recorded: bool
) -> None:
    decision = _decide(engine, WITHOUT_GUARANTEES, request_)
    assert decision.allow
    assert ("sections.operation" in {d.rule for d in decision.warnings}) is recorded


def _rules(engine: Engine, profile: str, request: Request) -> set[str]:
    try:
        return {denial.rule for denial in _decide(engine, profile, request).denials}
    except Refused as refusal:
        return {Denial.from_refusal(refusal).rule}


def _decide(engine: Engine, profile: str, request: Request) -> Decision:
    read = dockerd.read(*sent(request))
    caller = Caller(profile, "TLS", ())
    document = input_document(read, caller, HOST, datetime.now(UTC), STATE)
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return engine.decide(plain)
