"""OPA's failure modes: each of them is an EngineError, and so a denial."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.errors import EngineError, EngineSetupError

URL = "http://opa.example:8181"
DECISION = f"{URL}/v1/data/docker/authz/decision"
ALLOW: dict[str, Any] = {
    "allow": True,
    "denials": [],
    "warnings": [],
    "evaluated": ["mounts", "sections"],
    "profile": "production",
    "policy_revision": "1",
    "role": "",
}
REQUIRED = frozenset({"mounts", "sections"})


def engine(deadline: float = 0.2, **opa: Any) -> OpaEngine:
    return OpaEngine(OpaAddress(**{"url": URL, **opa}), REQUIRED, deadline)


@responses.activate
def test_a_complete_decision_is_returned() -> None:
    responses.post(DECISION, json={"result": ALLOW})
    assert engine().decide({"version": 1}).allow


@responses.activate
def test_strict_builtin_errors_are_always_asked_for() -> None:
    responses.post(DECISION, json={"result": ALLOW})
    engine().decide({"version": 1})
    assert "strict-builtin-errors=true" in str(responses.calls[0].request.url)


@responses.activate
def test_the_input_document_is_sent_as_opa_expects_it() -> None:
    matcher = responses.matchers.json_params_matcher({"input": {"version": 1}})
    responses.post(DECISION, json={"result": ALLOW}, match=[matcher])
    assert engine().decide({"version": 1}).allow


@responses.activate
def test_a_token_is_sent_where_there_is_one(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    matcher = responses.matchers.header_matcher({"Authorization": "Bearer s3cret"})
    responses.post(DECISION, json={"result": ALLOW}, match=[matcher])
    assert engine(token_file=token).decide({}).allow


def test_a_missing_token_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(EngineSetupError, match="token_file"):
        engine(token_file=tmp_path / "absent")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"body": b""}, id="nothing"),
        pytest.param({"body": b"allow"}, id="not JSON"),
        pytest.param({"body": b'{"result": {"allow": true'}, id="half of it"),
        pytest.param({"json": []}, id="not an object"),
        pytest.param({"json": {}}, id="no result, as for an undefined decision"),
        pytest.param({"json": {"result": None}}, id="null"),
        pytest.param({"json": {"result": True}}, id="a bare true"),
        pytest.param({"json": {"result": {"allow": True}}}, id="allow and nothing else"),
        pytest.param({"json": {"result": {**ALLOW, "allow": "true"}}}, id="allow as a string"),
        pytest.param({"json": {"result": {**ALLOW, "allow": 1}}}, id="allow as a number"),
        pytest.param({"json": {"result": {**ALLOW, "evaluated": []}}}, id="no rule answered"),
        pytest.param(
            {"json": {"result": {**ALLOW, "evaluated": ["mounts"]}}}, id="a rule package is lost"
        ),
        pytest.param(
            {"json": {"result": {**ALLOW, "denials": [{"rule": "x"}]}}}, id="a broken denial"
        ),
        pytest.param({"json": {"result": ALLOW}, "status": 201}, id="created"),
        pytest.param({"json": {"result": ALLOW}, "status": 302}, id="a redirect"),
        pytest.param({"json": {"result": ALLOW}, "status": 400}, id="bad request"),
        pytest.param({"json": {"result": ALLOW}, "status": 401}, id="unauthorized"),
        pytest.param({"json": {"result": ALLOW}, "status": 500}, id="server error"),
        pytest.param({"body": b" " * (2 << 20)}, id="two megabytes of nothing"),
        pytest.param({"body": requests.exceptions.ChunkedEncodingError()}, id="cut off"),
        pytest.param({"body": requests.exceptions.ContentDecodingError()}, id="bad encoding"),
        pytest.param({"body": requests.exceptions.SSLError()}, id="a TLS error"),
        pytest.param({"body": requests.exceptions.Timeout()}, id="a timeout"),
        pytest.param({"body": requests.exceptions.ConnectionError()}, id="unreachable"),
    ],
)
@responses.activate
def test_whatever_is_not_a_decision_is_an_error(answer: dict[str, Any]) -> None:
    responses.post(DECISION, **answer)
    with pytest.raises(EngineError):
        engine().decide({})


@responses.activate
def test_a_builtin_error_is_told_by_its_place_and_without_the_input() -> None:
    error = {
        "code": "eval_type_error",
        "message": "secret-value is not a number",
        "location": {"file": "custom/limits.rego", "row": 7, "col": 1},
    }
    responses.post(DECISION, json={"errors": [error]}, status=500)
    with pytest.raises(EngineError, match=r"eval_type_error at custom/limits\.rego:7") as raised:
        engine().decide({})
    assert "secret-value" not in str(raised.value)


@responses.activate
def test_an_opa_that_comes_back_within_the_deadline_costs_time_and_nothing_else() -> None:
    responses.post(DECISION, body=requests.exceptions.ConnectionError())
    responses.post(DECISION, body=requests.exceptions.ConnectionError())
    responses.post(DECISION, json={"result": ALLOW})
    assert engine(deadline=2).decide({}).allow


@responses.activate
def test_an_opa_that_stays_away_is_given_up_at_the_deadline() -> None:
    responses.post(DECISION, body=requests.exceptions.ConnectionError())
    started = time.monotonic()
    with pytest.raises(EngineError, match="cannot be reached"):
        engine(deadline=0.3).decide({})
    assert 0.2 < time.monotonic() - started < 3


@contextmanager
def talking_socket(folder: Path, talk: Any) -> Iterator[str]:
    """A unix socket behind which ``talk`` does what it likes with each connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "opa.sock"))
        listener.listen()
        server = threading.Thread(target=_serve, args=(listener, talk))
        server.start()
        try:
            yield f"unix:{folder}/opa.sock"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


def _serve(listener: socket.socket, talk: Any) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            talk(connection)


def silent(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(3)


def dripping_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(60):
        connection.sendall(b"x")
        time.sleep(0.05)


def dripping(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(60):
        connection.sendall(b" ")
        time.sleep(0.05)


def hanging_up(connection: socket.socket) -> None:
    connection.recv(65536)


def garbling(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\x00\xff not HTTP\r\n\r\n")


@pytest.mark.parametrize("talk", [silent, dripping, dripping_headers, hanging_up, garbling])
def test_an_opa_that_misbehaves_on_its_socket_is_given_up_at_the_deadline(
    tmp_path: Path, talk: Any
) -> None:
    with talking_socket(tmp_path, talk) as url:
        started = time.monotonic()
        asked = OpaEngine(OpaAddress(url=url), REQUIRED, 0.5)
        with closing(asked), pytest.raises(EngineError):
            asked.decide({})
        assert time.monotonic() - started < 2.5, "dripping goes on for three seconds"


def test_an_engine_needs_an_address() -> None:
    with pytest.raises(EngineSetupError):
        OpaEngine(OpaAddress(""), REQUIRED, 1)
