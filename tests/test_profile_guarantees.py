"""Each shipped profile enforces the guarantees of docs/profiles.md by the rules named there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from authz_plugin import dockerd, policy
from authz_plugin.caller import Caller
from authz_plugin.decision import Denial
from authz_plugin.document import input_document
from authz_plugin.engine import Engine
from authz_plugin.errors import Refused
from tests.fakes import FakeEngineState, FakeHostPaths
from tests.generate.profiles import GENERAL
from tests.profile_guarantees import COMMON_GUARANTEES, GUARANTEES, MOVED, Guarantee, Request, sent

HOST = FakeHostPaths({f"/workspace/{MOVED}": "/etc"})
STATE = FakeEngineState({MOVED: [f"/workspace/{MOVED}"]})

CASES = [
    (name, guarantee) for name, guarantees in GUARANTEES.items() for guarantee in guarantees
] + [(name, guarantee) for name in policy.profiles() for guarantee in COMMON_GUARANTEES]


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


def _rules(engine: Engine, profile: str, request: Request) -> set[str]:
    try:
        read = dockerd.read(*sent(request))
    except Refused as refusal:
        return {Denial.from_refusal(refusal).rule}
    caller = Caller(profile, "TLS", ())
    document = input_document(read, caller, HOST, datetime.now(UTC), STATE)
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return {denial.rule for denial in engine.decide(plain).denials}
