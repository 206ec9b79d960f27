"""Requests of real clients are understood, and allowed by the profiles that are made for them."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest

from authz_plugin import dockerd, protocol
from authz_plugin.caller import Caller
from authz_plugin.decision import Decision
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import UnseenHostPaths
from tests.conftest import MakeEngine
from tests.corpus import WORKSPACE, Recorded, recorded
from tests.corpus.clients import BUILDERS, ORDINARY
from tests.harness.embedded_policy import EmbeddedEngine
from tests.sweep import without_each_part

NOW: Final = datetime.now(UTC)
CORPUS: Final = list(recorded())
ROOTS: Final = {"allow": [{"path": WORKSPACE}], "follow_symlinks": False}
MANAGER: Final = {
    "profile": "devcontainer",
    "sections": {
        "nodes": "write", "services": "write", "secrets": "write", "configs": "write",
        "swarm": "write", "tasks": "read",
    },
    "namespaces": {"allow": ["network:unresolved"]},
    "networks": {"drivers": ["", "bridge", "overlay"], "scopes": ["", "swarm"]},
    "swarm": {"managers": True, "rollback": True},
}  # fmt: skip
"""A policy for a swarm's manager; the Docker CLI names networks of services by their ids."""


def document(request: Recorded) -> dict[str, Any]:
    """Return the input document of a recorded request; equal requests have equal ones."""
    asked = protocol.read_request(orjson.dumps(request.message))
    read = dockerd.read(asked.method, asked.uri, asked.headers, asked.body)
    made = input_document(read, Caller("", "", ()), UnseenHostPaths(), NOW, UnseenEngineState())
    plain: dict[str, Any] = json.loads(json.dumps(made))
    return plain


def refused(engine: EmbeddedEngine, requests: list[Recorded]) -> dict[tuple[str, str], Any]:
    """The requests that are not allowed, with the denials; None if there is no decision."""
    decided = zip(requests, engine.decide_each(list(map(document, requests))), strict=True)
    return {
        (request.method, request.uri): decision and decision.denials
        for request, decision in decided
        if decision is None or not decision.allow
    }


@pytest.mark.parametrize("client", sorted({request.client for request in CORPUS}))
def test_everything_a_client_sends_is_understood(client: str) -> None:
    for request in CORPUS:
        if request.client == client:
            made = document(request)
            assert made["request"]["unknown_fields"] == [], request


@pytest.mark.parametrize("client", ORDINARY)
def test_an_ordinary_day_is_allowed_in_a_development_container(
    make_engine: MakeEngine, client: str
) -> None:
    engine = make_engine(profile="devcontainer", mounts=ROOTS)
    requests = [request for request in CORPUS if request.client == client]
    assert refused(engine, requests) == {}


@pytest.mark.parametrize("client", BUILDERS)
def test_builds_with_buildkit_are_allowed_by_two_sections_alone(
    make_engine: MakeEngine, client: str
) -> None:
    closed = make_engine(profile="devcontainer", mounts=ROOTS)
    opened = make_engine(
        profile="devcontainer", mounts=ROOTS, sections={"session": "write", "grpc": "write"}
    )
    requests = [request for request in CORPUS if request.client == client]
    assert {uri for _, uri in refused(closed, requests)} == {"/grpc", "/session"}
    assert refused(opened, requests) == {}


def test_a_swarms_manager_may_what_the_configuration_opens(make_engine: MakeEngine) -> None:
    engine = make_engine(**MANAGER, mounts=ROOTS)
    requests = [request for request in CORPUS if request.client == "docker (swarm)"]
    assert len(requests) > 20
    assert refused(engine, requests) == {}


def test_no_denied_request_is_allowed_when_a_field_of_it_is_missing(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(profile="restricted", mounts=ROOTS)
    tried: dict[str, list[set[str]]] = defaultdict(list)
    wholes = list(map(document, CORPUS))
    decided = zip(CORPUS, wholes, engine.decide_each(wholes), strict=True)
    for request, whole, decision in sorted(decided, key=_number_of_denials):
        assert decision is not None
        rules = {denial.rule for denial in decision.denials}
        alike = tried[whole["operation"]["id"]]
        # What more rules deny is denied as long as one of them remains.
        if decision.allow or any(fewer <= rules for fewer in alike):
            continue
        alike.append(rules)
        places, documents = zip(*without_each_part(whole), strict=True)
        found_at = zip(places, engine.decide_each(documents), strict=True)
        allowed = [place for place, found in found_at if found is None or found.allow]
        assert allowed == [], request
    assert sum(map(len, tried.values())) > 30


def _number_of_denials(decided: tuple[Recorded, dict[str, Any], Decision | None]) -> int:
    decision = decided[2]
    return 0 if decision is None else len(decision.denials)
