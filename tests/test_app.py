"""The HTTP face: three endpoints, and never an allow for anything else."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import authorizer
from authz_plugin.app import create_app
from authz_plugin.authorizer import Authorizer
from authz_plugin.decision import Decision, Denial
from authz_plugin.endpoints import AUTHZ_MESSAGE_LIMIT, Endpoints
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.protocol import CONTENT_TYPE, Answer
from tests.test_authorizer import LIST, Engine, decision


def client(answer: Decision | Exception) -> FlaskClient:
    app = create_app(
        Endpoints(
            Authorizer(Engine(answer), LocalHostPaths(), UnseenEngineState(), lambda *_: None)
        )
    )
    return app.test_client()


def test_activation_names_the_protocol_exactly() -> None:
    for way in ({}, CHUNKED):
        answer = client(decision()).post("/Plugin.Activate", environ_overrides=way)
        assert answer.json == {"Implements": ["authz"]}
        assert answer.headers["Content-Type"] == CONTENT_TYPE


def test_a_request_is_answered_as_dockerd_reads_it() -> None:
    response = client(decision()).post("/AuthZPlugin.AuthZReq", data=LIST)
    assert response.status_code == 200
    assert response.json == {"Allow": True, "Msg": ""}


@pytest.mark.parametrize("path", ["/AuthZPlugin.AuthZReq", "/AuthZPlugin.AuthZRes"])
def test_a_denial_is_a_200_because_dockerd_reads_no_other_as_one(path: str) -> None:
    response = client(decision()).post(path, data=b"")
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["Allow"] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/AuthZPlugin.AuthZReq"),
        ("POST", "/"),
        ("POST", "/authzplugin.authzreq"),
        ("GET", "/metrics"),
        ("POST", "/AuthZPlugin.AuthZReq/"),
        ("OPTIONS", "/AuthZPlugin.AuthZReq"),
    ],
)
def test_anything_else_is_told_so_and_is_no_allow(method: str, path: str) -> None:
    response = client(decision()).open(path, method=method, data=LIST)
    assert b'"Allow":true' not in response.data


@pytest.mark.parametrize("path", ["/AuthZPlugin.AuthZReq", "/AuthZPlugin.AuthZRes"])
def test_a_message_beyond_the_limit_is_denied_without_being_read(path: str) -> None:
    response = client(decision()).post(path, data=b" " * (AUTHZ_MESSAGE_LIMIT + 1))
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["Allow"] is False


DENIAL = Denial("mounts.source", "", None, "not allowed", "")
CHUNKED = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
WAYS = pytest.mark.parametrize("way", [{}, CHUNKED], ids=["with a length", "in chunks"])


@WAYS
def test_a_message_is_answered_the_same_whichever_way_it_comes(way: dict[str, Any]) -> None:
    for denials in ((), (DENIAL,)):
        posted = client(decision(*denials)).post(
            "/AuthZPlugin.AuthZReq", data=LIST, environ_overrides=way
        )
        assert posted.status_code == 200
        assert posted.headers["Content-Type"] == CONTENT_TYPE
        assert posted.json is not None
        assert posted.json["Allow"] is (not denials)


def test_a_message_that_ends_early_is_not_decided_even_if_it_makes_sense() -> None:
    early = {"CONTENT_LENGTH": str(len(LIST) + 1)}
    response = client(decision()).post("/AuthZPlugin.AuthZReq", data=LIST, environ_overrides=early)
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["Allow"] is False


@WAYS
def test_a_defect_outside_the_authorizer_is_no_allow_and_no_traceback(
    caplog: pytest.LogCaptureFixture, way: dict[str, Any]
) -> None:
    class Broken(Authorizer):
        def authorize(self, message: bytes) -> Answer:
            raise KeyError(message)

    app = create_app(
        Endpoints(
            Broken(Engine(decision()), LocalHostPaths(), UnseenEngineState(), lambda *_: None)
        )
    )
    with caplog.at_level(logging.ERROR):
        response = app.test_client().post("/AuthZPlugin.AuthZReq", data=LIST, environ_overrides=way)
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["Allow"] is False
    assert "Traceback" not in caplog.text


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_answered_and_never_allowed(message: bytes) -> None:
    response = client(decision()).post("/AuthZPlugin.AuthZReq", data=message)
    assert response.status_code == 200
    assert orjson.loads(response.data)["Allow"] is False


WHOLE = orjson.dumps(
    {
        "RequestMethod": "POST",
        "RequestUri": "/v1.44/containers/create?name=web",
        "RequestHeaders": {"Content-Type": "application/json"},
        "RequestBody": base64.b64encode(b'{"Image":"x","HostConfig":{"Binds":["/a:/b"]}}').decode(),
    }
)
CUT: Final = st.builds(
    lambda at, removed, inserted: WHOLE[:at] + inserted + WHOLE[at + removed :],
    st.integers(0, 400),
    st.integers(0, 4),
    st.binary(max_size=4),
)


@given(
    message=st.one_of(st.binary(max_size=200), st.sampled_from([LIST, b"", b"{}"]), CUT),
    endpoint=st.sampled_from(["/AuthZPlugin.AuthZReq", "/AuthZPlugin.AuthZRes"]),
    denials=st.sampled_from([(), (DENIAL,)]),
)
@pytest.mark.usefixtures("fixed_decision_id")
def test_with_and_without_flask_the_answer_is_the_same_to_the_byte(
    message: bytes, endpoint: str, denials: tuple[Denial, ...]
) -> None:
    fast, flask = (
        client(decision(*denials)).post(endpoint, data=message, environ_overrides=way)
        for way in ({}, CHUNKED)
    )
    assert fast.status == flask.status
    assert fast.headers["Content-Type"] == flask.headers["Content-Type"]
    assert fast.data == flask.data


@pytest.fixture(scope="module")
def fixed_decision_id() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authorizer, "new_decision_id", lambda: "0123456789abcdef")
        yield


def test_the_messages_of_dockerd_do_not_pass_through_flask(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("Flask was asked")

    app = create_app(
        Endpoints(
            Authorizer(Engine(decision()), LocalHostPaths(), UnseenEngineState(), lambda *_: None)
        )
    )
    monkeypatch.setattr(app.wsgi_app, "_flask", never)
    answered = app.test_client().post("/AuthZPlugin.AuthZReq", data=LIST)
    assert orjson.loads(answered.data)["Allow"] is True
    with pytest.raises(AssertionError):
        app.test_client().post("/AuthZPlugin.AuthZReq", data=LIST, environ_overrides=CHUNKED)


@given(st.integers(0, len(WHOLE)), st.integers(0, 4), st.binary(max_size=4))
def test_a_message_with_bytes_exchanged_is_allowed_only_if_it_reached_the_engine(
    at: int, removed: int, inserted: bytes
) -> None:
    engine = Engine(decision())
    records: list[DecisionRecord] = []
    app = create_app(
        Endpoints(
            Authorizer(
                engine,
                LocalHostPaths(),
                UnseenEngineState(),
                lambda record, _: records.append(record),
            )
        )
    )
    message = WHOLE[:at] + inserted + WHOLE[at + removed :]
    response = app.test_client().post("/AuthZPlugin.AuthZReq", data=message)
    assert response.status_code == 200
    assert orjson.loads(response.data)["Allow"] is bool(engine.documents)
    assert not any(record.error for record in records), "a refusal is no defect"
