"""Each shipped profile keeps what its page promises, by the rules that the page names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from authz_plugin import dockerd, policy
from authz_plugin.caller import Caller
from authz_plugin.decision import Denial
from authz_plugin.document import input_document
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.errors import Refused
from tests.generate.profiles import GENERAL
from tests.hosts import Containers, Host
from tests.promises import EVERYWHERE, MOVED, PROMISES, Promise, Request, sent

HOST = Host({f"/workspace/{MOVED}": "/etc"})
STATE = Containers({MOVED: [f"/workspace/{MOVED}"]})

KEPT = [(name, promise) for name, promises in PROMISES.items() for promise in promises] + [
    (name, promise) for name in policy.profiles() for promise in EVERYWHERE
]


@pytest.fixture
def engine(every_profile: OpaEngine) -> OpaEngine:
    return every_profile


def test_every_profile_for_hosts_promises_something() -> None:
    assert set(PROMISES) == set(GENERAL)


@pytest.mark.parametrize(("profile", "promise"), KEPT, ids=lambda value: str(value)[:60])
def test_a_profile_keeps_its_promise_by_the_rules_that_it_names(
    engine: OpaEngine, profile: str, promise: Promise
) -> None:
    denied = {str(request): _rules(engine, profile, request) for request in promise.denied}
    kept = set(promise.rules)
    assert [request for request, rules in denied.items() if not rules & kept] == []
    assert kept - set().union(*denied.values()) == set(), "these rules deny none of the requests"


def _rules(engine: OpaEngine, profile: str, request: Request) -> set[str]:
    try:
        read = dockerd.read(*sent(request))
    except Refused as refusal:
        return {Denial.from_refusal(refusal).rule}
    caller = Caller(profile, "TLS", ())
    document = input_document(read, caller, HOST, datetime.now(UTC), STATE)
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return {denial.rule for denial in engine.decide(plain).denials}
