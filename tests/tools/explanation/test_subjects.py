"""What an operator has in hand is read, or it is said what it is not."""

from __future__ import annotations

import json

import pytest

from authz_plugin.errors import SetupError
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation.subjects import find_record, read_http, read_subject

ID = "0123456789abcdef"
DECISION = json.dumps({"decision_id": ID, "verdict": "deny", "operation": "volume.list"})
OUTCOME = json.dumps({"decision_id": ID, "event": "finished_operation", "status": 201})


def test_a_request_is_read_with_its_headers_and_body() -> None:
    text = b"POST /v1.44/x?a=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n{}\n"
    request = read_http(text)
    assert (request.method, request.target, request.body) == ("POST", "/v1.44/x?a=1", b"{}")
    assert request.headers == (("Host", "h"), ("X-A", "1"), ("X-A", "2"))


def test_a_length_that_no_longer_fits_is_put_right() -> None:
    request = read_http(b'POST /x HTTP/1.1\nContent-Length: 2\n\n{"a": 1}')
    assert request.body == b'{"a": 1}'
    assert request.headers == ()


def test_a_chunked_body_is_put_together() -> None:
    head = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    request = read_http(head + b'3\r\n{"a\r\n5;x=y\r\n": 1}\r\n0\r\n\r\n')
    assert request.body == b'{"a": 1}'
    assert request.chunked


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"GET /x", "does not begin an HTTP request"),
        (b"GET /x HTTP/2\n\n", "does not begin an HTTP request"),
        (b"\x00\xff", "does not begin an HTTP request"),
        (b"GET /x HTTP/1.1\nno header\n\n", "is not a header line"),
        (b"POST /x HTTP/1.1\nTransfer-Encoding: chunked\n\nxx\n", "is not the size of a chunk"),
        (b"POST /x HTTP/1.1\nTransfer-Encoding: chunked\n\n2\nab\n", "does not end"),
        (b'{"a": 1', "is not one JSON object"),
        (b'{"a": 1}', "is neither a message of dockerd's"),
    ],
)
def test_what_is_none_of_these_is_said(text: bytes, problem: str) -> None:
    with pytest.raises(SetupError, match=problem):
        read_subject(text)


def test_dockerds_message_is_taken_as_it_is() -> None:
    message = b'{"RequestMethod": "GET", "RequestUri": "/info"}'
    assert read_subject(message) == message


def test_a_decision_record_is_known_by_its_id() -> None:
    assert read_subject(DECISION.encode()) == json.loads(DECISION)


def test_raw_http_is_the_rest() -> None:
    assert read_subject(b"GET /info HTTP/1.1\n\n") == Request("GET", "/info")


def test_a_decision_is_found_among_other_lines_and_behind_a_prefix() -> None:
    log = ["opa-authz guards", '{"decision_id": "1"}', f"Nov 1 host opa-authz[1]: {DECISION}\n"]
    assert find_record(ID, log)["operation"] == "volume.list"


def test_a_decision_comes_with_what_became_of_it() -> None:
    assert find_record(ID, [DECISION, OUTCOME])["outcome"]["status"] == 201


@pytest.mark.parametrize("log", [[], [f"{ID} {{broken"], [OUTCOME], [f'{{"x": "{ID}"}}']])
def test_a_decision_that_is_not_there_is_said(log: list[str]) -> None:
    with pytest.raises(SetupError, match=f"no decision {ID}"):
        find_record(ID, log)
