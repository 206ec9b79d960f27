"""A recorded input decides as the whole one, holds no text that is not listed, and is bounded."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, get_args

import jsonschema
import orjson
import pytest

from authz_plugin import dockerd, policy, protocol
from authz_plugin.caller import Caller
from authz_plugin.configuration import complete_profile
from authz_plugin.decision import Decision
from authz_plugin.dockerd.routes import ROUTES, STREAM
from authz_plugin.dockerd.shapes import Shape
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import Refused
from authz_plugin.hostpaths import LocalHostPaths, UnseenHostPaths
from authz_plugin.journal.own_tools import Tool, agent_of
from authz_plugin.journal.recording import (
    LONGEST,
    AuditedDecision,
    recorded,
    restored,
)
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.corpus import recorded as corpus
from tests.journal.records import create, message
from tests.journal.test_secrets import Marks, alone

SCHEMA: Final = json.loads((policy.SHIPPED / "schemas/input.json").read_text())
UNSEEN: Final = frozenset({"containers.command", "plugins.setting"})
"""Rules that a recorded input cannot tell about: they compare words of commands, and settings of
plugins, which may be secrets."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(profile="production")) as opened:
        yield opened


def document(message_: dict[str, Any]) -> dict[str, Any]:
    """The input document of dockerd's message, as an engine gets it; raises ``Refused``."""
    asked = protocol.read_request(orjson.dumps(message_))
    read = dockerd.read(asked.method, asked.uri, asked.headers, asked.body)
    made = input_document(
        read, Caller("", "", ()), LocalHostPaths(), datetime.now(UTC), UnseenEngineState()
    )
    plain: dict[str, Any] = orjson.loads(orjson.dumps(made))
    return plain


def again(whole: dict[str, Any]) -> dict[str, Any]:
    """A document after it was recorded and read."""
    form = recorded(whole)
    assert form is not None
    read = restored(orjson.loads(form))
    assert read is not None
    return read


@pytest.fixture(scope="module")
def of_the_corpus() -> list[dict[str, Any]]:
    """What real clients send, each sort of it once."""
    sorts: dict[bytes, dict[str, Any]] = {}
    for request in corpus():
        made = document(request.message)
        said = {name: value for name, value in made.items() if name not in {"request", "time"}}
        said["query"] = sorted(made["request"]["query"])
        if made["body"] is None:
            said["operation"], said["references"] = made["operation"]["id"], []
        sorts.setdefault(orjson.dumps(said), made)
    return list(sorts.values())


@pytest.mark.parametrize("tool", get_args(Tool))
def test_the_user_agent_of_an_own_tool_is_recorded(tool: Tool) -> None:
    read = again(asked_by(agent_of(tool)))
    assert read["request"]["headers"]["user-agent"] == agent_of(tool)
    assert AuditedDecision(1, {}, read).tool == tool


@pytest.mark.parametrize(
    "agent",
    [
        "Docker-Client/29.0.0 (linux)",
        "opa-authz/1.0 learn",
        "opa-authz/1.0 doctor hunter2",
        "opa-authz/hunter2 doctor",
        "hunter2 opa-authz/1.0 doctor",
        "opa-authz/1.0 doctor\n",
    ],
)
def test_any_other_user_agent_is_hidden_and_names_no_tool(agent: str) -> None:
    read = again(asked_by(agent))
    assert read["request"]["headers"]["user-agent"] == "***"
    assert AuditedDecision(1, {}, read).tool == ""


def asked_by(agent: str) -> dict[str, Any]:
    """The input document of a request with a User-Agent."""
    made = document({"RequestMethod": "GET", "RequestUri": "/info"})
    made["request"]["headers"] = {"user-agent": agent}
    return made


QUERIES: Final = {
    "container.top": ("ps_args",),
    "container.start": ("checkpoint-dir",),
    "image.build": ("remote", "cgroupparent", "networkmode", "outputs", "t"),
    "image.import": ("fromSrc", "repo"),
    "image.pull": ("fromImage", "tag"),
    "plugin.upgrade": ("remote",),
    "service.update": ("rollback",),
}
"""Parameters that rules or facts are made of."""

WORDS: Final = (
    ("GET", "/containers/json?filters=%7B%22label%22%3A%5B%22listed%3Dlisted%22%5D%7D", None),
    ("POST", "/networks/create", {"Name": "listed", "IPAM": {"Driver": "default"}}),
    ("POST", "/nodes/listed/update?version=1", {"Role": "worker"}),
    ("POST", "/containers/create", {"HostConfig": {"ExtraHosts": ["listed:host-gateway"]}}),
    ("POST", "/containers/create?name=listed", {"HostConfig": {"CapDrop": ["LISTED"]}}),
)
"""Requests with words that rules name themselves."""


def of_listed_texts() -> Iterator[dict[str, Any]]:
    """Requests in which every text of every body and parameter is one that is listed."""
    for method, uri, body in WORDS:
        asked = {"RequestMethod": method, "RequestUri": uri}
        yield asked if body is None else with_body(asked, orjson.dumps(body))
    shapes: list[Shape] = []
    for method, template, operation in ROUTES:
        asked = {
            "RequestMethod": "GET" if method == "ANY" else method,
            "RequestUri": re.sub(r"\{.+?\}", "listed", template),
        }
        empty = {**asked, "RequestHeaders": {"Content-Length": "0"}}
        for name in QUERIES.get(operation.id, ()):
            for value in ("listed", "-", "[]", "null", ""):
                yield {**empty, "RequestUri": f"{asked['RequestUri']}?{name}={value}"}
        if operation.body is None or operation.body in shapes or operation.body == STREAM:
            continue
        shapes.append(operation.body)
        for text in ("listed", "/listed"):
            marks = Marks()
            whole = marks.filled(operation.body, operation.id, "body")
            bodies = [whole, *(alone(whole, mark) for mark in marks.places)]
            for body in bodies:
                yield with_body(asked, re.sub(rb"canary\d{6}", text.encode(), orjson.dumps(body)))


def with_body(asked: dict[str, Any], body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    content = base64.b64encode(body).decode()
    return {**asked, "RequestHeaders": headers, "RequestBody": content}


def listing(config: Any) -> Any:
    """A configuration in which every list has the listed texts, and every name a value."""
    if isinstance(config, list):
        return [*config, "listed", "/listed"]
    if isinstance(config, dict):
        return {name: listing(value) for name, value in config.items()}
    return config


@pytest.fixture(scope="module")
def listed(sandbox: Sandbox) -> dict[str, Any]:
    """A configuration that allows whatever is of listed texts."""
    given = {"profile": "production", "labels": {"required": {"listed": []}}}
    config = sandbox.configured({**given, "security_options": {"allow": {"listed": []}}})
    for name in ("roles", "role_order", "exceptions"):
        del config[name]
    config = {**listing(config), "roles": {}, "role_order": [], "exceptions": []}
    config["mounts"]["allow"] = [{"path": "/listed", "resolved": "/listed", "read_only": False}]
    config["tenancy"] |= {"names": ["listed", "/listed"], "labels": {"listed": "listed"}}
    config["networks"] |= {"extra_hosts": False, "host_gateway": True, "subnets": False}
    config["hardening"]["drop"] = ["LISTED"]
    config["plugins"]["privileges"] = {"listed": ["listed"], "/listed": ["/listed"]}
    return config


def reasons(decision: Decision) -> set[tuple[str, str]]:
    return {(denial.rule, denial.field) for denial in decision.denials}


def different() -> list[str]:
    """The profiles, but of those that differ in sections and operations alone one: these go by the
    operation's id, which is never hidden."""
    found: dict[str, str] = {}
    for name in policy.profiles():
        profile = complete_profile(name, UnseenHostPaths())
        apart = ("sections", "operations", "profile", "mode")
        rest = {key: value for key, value in profile.items() if key not in apart}
        found.setdefault(json.dumps(rest, sort_keys=True), name)
    return list(found.values())


@pytest.mark.parametrize("profile", different())
def test_what_clients_send_is_decided_alike_once_it_is_recorded(
    sandbox: Sandbox, of_the_corpus: list[dict[str, Any]], profile: str
) -> None:
    config = sandbox.configured({"profile": profile})
    ones = sandbox.decide(of_the_corpus, config)
    others = sandbox.decide([again(whole) for whole in of_the_corpus], config)
    for whole, one, other in zip(of_the_corpus, ones, others, strict=True):
        assert reasons(one) == reasons(other), whole
        assert one.allow is other.allow


def test_no_text_that_a_rule_compares_is_hidden_but_words_of_commands(
    sandbox: Sandbox, listed: dict[str, Any]
) -> None:
    wholes = list(understood(of_listed_texts()))
    ones = sandbox.decide(wholes, listed)
    others = sandbox.decide([again(whole) for whole in wholes], listed)
    differ = set()
    for one, other in zip(ones, others, strict=True):
        differ |= {rule for rule, _ in reasons(one) ^ reasons(other)}
    assert len(wholes) > 500
    assert differ == UNSEEN


def understood(messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in messages:
        try:
            yield document(one)
        except Refused:
            continue


def test_a_document_comes_back_total_and_as_it_was_but_for_hidden_texts(
    of_the_corpus: list[dict[str, Any]],
) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for whole in of_the_corpus:
        read = again(whole)
        validator.validate(read)
        assert same(whole, read) == []


def same(whole: Any, read: Any, path: str = "") -> list[str]:
    """Where two documents differ in anything but a text that is hidden."""
    if isinstance(whole, dict):
        if whole.keys() != read.keys():
            return [path]
        return [place for key in whole for place in same(whole[key], read[key], f"{path}.{key}")]
    if isinstance(whole, list):
        if len(whole) != len(read):
            return [path]
        pairs = zip(whole, read, strict=True)
        return [place for one, other in pairs for place in same(one, other, f"{path}[]")]
    hidden = isinstance(whole, str) and (read == "***" or path == ".request.uri")
    return [] if hidden or (whole == read and type(whole) is type(read)) else [path]


def test_a_field_that_a_newer_version_adds_is_empty_in_an_old_recording() -> None:
    whole = document(json.loads(message(create())))
    form = orjson.loads(recorded(whole) or b"")
    form["body"].pop("HostConfig", None)
    for name in ("ports", "hardening", "filters"):
        form.pop(name, None)
    read = restored(form)
    assert read is not None
    assert read["body"]["HostConfig"]["Privileged"] is False
    assert (read["ports"], read["hardening"], read["filters"]) == ([], None, {})


def test_a_fact_that_is_new_is_hidden() -> None:
    whole = document(json.loads(message(create())))
    whole["novelty"] = [{"name": "hush", "count": 3}]
    whole["request"]["trailer"] = "hush"
    form = recorded(whole) or b""
    assert b"hush" not in form
    assert orjson.loads(form)["novelty"] == [{"name": "***", "count": 3}]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("team", "shop", "shop"),
        ("db-password", "hunter2", "***"),
        ("API_TOKEN", "hunter2", "***"),
        ("note", "password=hunter2", "***"),
        ("url", "https://u:hunter2@host/", "***"),
        ("traefik.http.middlewares.a.basicauth.users", "u:$apr1$hunter2$x", "***"),
    ],
)
def test_a_label_that_looks_like_a_secret_is_hidden(name: str, value: str, shown: str) -> None:
    body = orjson.dumps({"Image": "app", "Labels": {name: value}})
    asked = {"RequestMethod": "POST", "RequestUri": "/v1.44/containers/create"}
    assert again(document(with_body(asked, body)))["body"]["Labels"] == {name: shown}


def test_a_recording_of_an_operation_that_is_not_known_here_has_no_document() -> None:
    form = orjson.loads(recorded(document(json.loads(message(create())))) or b"")
    form["operation"]["id"] = "container.levitate"
    assert restored(form) is None


def test_a_long_document_is_not_recorded() -> None:
    mounts = [f"/srv/{'x' * 200}/{i}:/{i}" for i in range(100)]
    assert recorded(document(json.loads(message(create(Binds=mounts[:10]))))) is not None
    assert len(json.dumps(mounts)) < LONGEST
    assert recorded(document(json.loads(message(create(Binds=mounts))))) is None
