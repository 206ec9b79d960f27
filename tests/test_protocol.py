"""Docker's messages: what dockerd sends is read, anything else is refused and nothing crashes."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import protocol
from authz_plugin.errors import Refused
from authz_plugin.protocol import (
    ACTIVATION,
    Answer,
    AuthZReq,
    AuthZRes,
    read_request,
    read_response,
)
from tests.refusals import attempt, refusal_of

PEM: Final = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


WHOLE: Final[dict[str, Any]] = {
    "User": "alice",
    "UserAuthNMethod": "TLS",
    "RequestMethod": "POST",
    "RequestUri": "/v1.44/containers/create?name=web",
    "RequestBody": b64(b'{"Image":"alpine"}'),
    "RequestHeaders": {"Content-Type": "application/json", "X-A": "b"},
    "RequestPeerCertificates": [b64(PEM.encode()), b64(b"second")],
}
READ: Final = AuthZReq(
    user="alice",
    user_authn_method="TLS",
    method="POST",
    uri="/v1.44/containers/create?name=web",
    headers={"content-type": "application/json", "x-a": "b"},
    body=b'{"Image":"alpine"}',
    certificates=(PEM, "second"),
)
LEAST: Final = {"RequestMethod": "GET", "RequestUri": "/_ping"}
OUTCOME: Final = {
    "ResponseStatusCode": 201,
    "ResponseHeaders": {"Content-Type": "application/json"},
    "ResponseBody": b64(b'{"Id":"x"}'),
}


def refusal(message: bytes) -> Refused:
    """The refusal of a message, the same for a question and for a report."""
    question = refusal_of(lambda: read_request(message))
    report = refusal_of(lambda: read_response(message))
    assert (question.rule, question.field) == (report.rule, report.field)
    assert question.rule == "request.message"
    return question


def test_a_whole_message_is_read() -> None:
    assert read_request(json.dumps(WHOLE).encode()) == READ


def test_what_go_leaves_out_is_empty() -> None:
    assert read_request(json.dumps(LEAST).encode()) == AuthZReq(
        user="", user_authn_method="", method="GET", uri="/_ping", headers={}, body=b"",
        certificates=(),
    )  # fmt: skip


def test_null_is_left_out_where_go_may_write_it() -> None:
    empty = {"RequestBody": None, "RequestHeaders": None, "RequestPeerCertificates": None}
    assert read_request(json.dumps(LEAST | empty).encode()) == read_request(
        json.dumps(LEAST).encode()
    )


def test_fields_that_nobody_knows_yet_are_passed_over() -> None:
    assert read_request(json.dumps(WHOLE | {"Later": {"a": [1]}}).encode()) == READ


def test_a_report_is_the_request_and_its_outcome() -> None:
    assert read_response(json.dumps(WHOLE | OUTCOME).encode()) == AuthZRes(
        request=READ,
        status=201,
        headers={"content-type": "application/json"},
        body=b'{"Id":"x"}',
    )


def test_a_report_of_a_stream_has_no_outcome() -> None:
    read = read_response(json.dumps(WHOLE).encode())
    assert read == AuthZRes(request=READ, status=0, headers={}, body=b"")


def test_a_retry_of_dockerds_is_empty_and_told_so() -> None:
    refused = refusal(b"")
    assert refused.field == ""
    assert "retry" in refused.hint


@pytest.mark.parametrize(
    "message",
    [
        b" ",
        b"{",
        b"}",
        b"null",
        b"true",
        b"0",
        b'""',
        b"[]",
        b'[{"RequestMethod":"GET","RequestUri":"/_ping"}]',
        b'{"RequestMethod":"GET","RequestUri":"/_ping"}{}',
        b'{"RequestMethod":"GET","RequestUri":"/_ping",}',
        b"{'RequestMethod':'GET','RequestUri':'/_ping'}",
        b'\xef\xbb\xbf{"RequestMethod":"GET","RequestUri":"/_ping"}',
        b'{"RequestMethod":"GET","RequestUri":"/\xff"}',
        b'{"RequestMethod":"GET","RequestUri":"/\\ud800"}',
        b'{"RequestMethod":"GET","RequestUri":"/\n"}',
        b'{"RequestMethod":"GET","RequestUri":"/_ping","X":NaN}',
        b"RequestMethod=GET&RequestUri=/_ping",
        b"\x00",
        b'{"a":' * 100_000,
        b"[" * 1_000_000,
    ],
)
def test_what_is_not_the_json_of_an_object_is_refused(message: bytes) -> None:
    assert refusal(message).field == ""


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"RequestMethod": None}, "RequestMethod"),
        ({"RequestMethod": 1}, "RequestMethod"),
        ({"RequestMethod": ["GET"]}, "RequestMethod"),
        ({"RequestMethod": ""}, "RequestMethod"),
        ({"RequestUri": None}, "RequestUri"),
        ({"RequestUri": {"path": "/"}}, "RequestUri"),
        ({"RequestUri": True}, "RequestUri"),
        ({"RequestUri": ""}, "RequestUri"),
        ({"RequestMethod": "", "RequestUri": ""}, "RequestMethod"),
        ({"User": None}, "User"),
        ({"User": ["alice"]}, "User"),
        ({"UserAuthNMethod": 1}, "UserAuthNMethod"),
        ({"RequestBody": {}}, "RequestBody"),
        ({"RequestBody": [123, 125]}, "RequestBody"),
        ({"RequestBody": False}, "RequestBody"),
        ({"RequestBody": "{}"}, "RequestBody"),
        ({"RequestBody": "e30"}, "RequestBody"),
        ({"RequestBody": "e30=\n"}, "RequestBody"),
        ({"RequestBody": " e30="}, "RequestBody"),
        ({"RequestBody": "e3 0="}, "RequestBody"),
        ({"RequestBody": "e30=e30="}, "RequestBody"),
        ({"RequestBody": "-_8="}, "RequestBody"),
        ({"RequestBody": "é30="}, "RequestBody"),
        ({"RequestHeaders": []}, "RequestHeaders"),
        ({"RequestHeaders": "Content-Type: x"}, "RequestHeaders"),
        ({"RequestHeaders": {"A": None}}, "RequestHeaders"),
        ({"RequestHeaders": {"A": ["b"]}}, "RequestHeaders"),
        ({"RequestHeaders": {"A": 1}}, "RequestHeaders"),
        ({"RequestHeaders": {"Content-Type": "a", "content-type": "b"}}, "RequestHeaders"),
        ({"RequestHeaders": {"CONTENT-LENGTH": "0", "Content-Length": "0"}}, "RequestHeaders"),
        ({"RequestPeerCertificates": PEM}, "RequestPeerCertificates"),
        ({"RequestPeerCertificates": {}}, "RequestPeerCertificates"),
        ({"RequestPeerCertificates": [None]}, "RequestPeerCertificates"),
        ({"RequestPeerCertificates": [PEM]}, "RequestPeerCertificates"),
        ({"RequestPeerCertificates": ["AA==", 1]}, "RequestPeerCertificates"),
    ],
)
def test_a_field_that_is_not_what_dockerd_sends_is_refused(
    changes: dict[str, Any], field: str
) -> None:
    refused = refusal(json.dumps(WHOLE | changes).encode())
    assert refused.field == field
    assert field in refused.message


@pytest.mark.parametrize("name", ["RequestMethod", "RequestUri"])
def test_a_message_without_method_or_target_is_refused(name: str) -> None:
    message = {key: value for key, value in WHOLE.items() if key != name}
    assert refusal(json.dumps(message).encode()).field == name


@pytest.mark.parametrize("name", ["requesturi", "RequestURI", "REQUESTURI", "Request_Uri"])
def test_only_dockers_own_spelling_of_a_field_counts(name: str) -> None:
    message = {"RequestMethod": "GET", name: "/_ping"}
    assert refusal(json.dumps(message).encode()).field == "RequestUri"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ResponseStatusCode": "200"}, "ResponseStatusCode"),
        ({"ResponseStatusCode": 200.0}, "ResponseStatusCode"),
        ({"ResponseStatusCode": True}, "ResponseStatusCode"),
        ({"ResponseStatusCode": None}, "ResponseStatusCode"),
        ({"ResponseHeaders": {"A": 1}}, "ResponseHeaders"),
        ({"ResponseHeaders": {"A": "", "a": ""}}, "ResponseHeaders"),
        ({"ResponseBody": "?"}, "ResponseBody"),
        ({"ResponseBody": {}}, "ResponseBody"),
    ],
)
def test_an_outcome_that_is_not_what_dockerd_sends_is_refused(
    changes: dict[str, Any], field: str
) -> None:
    refused = refusal_of(lambda: read_response(json.dumps(WHOLE | OUTCOME | changes).encode()))
    assert (refused.rule, refused.field) == ("request.message", field)


def test_the_question_does_not_depend_on_an_outcome() -> None:
    assert read_request(json.dumps(WHOLE | {"ResponseStatusCode": "?"}).encode()) == READ


def test_bytes_of_a_certificate_that_are_no_text_do_not_stop_the_reading() -> None:
    message = LEAST | {"RequestPeerCertificates": [b64(b"\xff\x00-")]}
    assert read_request(json.dumps(message).encode()).certificates == ("\ufffd\x00-",)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(allow=True), {"Allow": True, "Msg": ""}),
        (Answer(allow=False, message="no é \"'\n"), {"Allow": False, "Msg": "no é \"'\n"}),
    ],
)
def test_an_answer_says_allow_and_message_and_nothing_else(
    answer: Answer, expected: dict[str, Any]
) -> None:
    assert json.loads(answer.to_bytes()) == expected


def test_activation_says_authz_exactly() -> None:
    assert json.loads(ACTIVATION) == {"Implements": ["authz"]}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(sorted(WHOLE | OUTCOME))


def read_or_refused(message: bytes) -> None:
    request = attempt(lambda: read_request(message))
    if isinstance(request, Refused):
        assert request.rule == "request.message"
        assert request.message
    else:
        assert request.method
        assert request.uri
    report = attempt(lambda: read_response(message))
    if isinstance(report, Refused):
        assert report.rule == "request.message"
    else:
        assert report.request == request


@given(st.binary())
def test_arbitrary_bytes_are_read_or_refused(message: bytes) -> None:
    read_or_refused(message)


@given(ANYTHING)
def test_arbitrary_json_is_read_or_refused(value: Any) -> None:
    read_or_refused(json.dumps(value).encode())


@given(st.dictionaries(FIELDS, ANYTHING))
def test_fields_of_arbitrary_values_are_read_or_refused(changes: dict[str, Any]) -> None:
    read_or_refused(json.dumps(WHOLE | OUTCOME | changes).encode())


@given(st.data(), st.binary(max_size=3))
def test_a_valid_message_with_bytes_exchanged_is_read_or_refused(
    data: st.DataObject, inserted: bytes
) -> None:
    message = json.dumps(WHOLE | OUTCOME).encode()
    at = data.draw(st.integers(0, len(message)))
    end = data.draw(st.integers(at, min(at + 3, len(message))))
    read_or_refused(message[:at] + inserted + message[end:])


UTF8 = st.text(st.characters(codec="utf-8"))


@given(
    st.text(st.characters(codec="utf-8"), min_size=1),
    st.text(st.characters(codec="utf-8"), min_size=1),
    UTF8,
    st.binary(),
    st.dictionaries(st.text(st.characters(codec="ascii")).map(str.lower), UTF8),
)
def test_what_dockerd_sends_arrives(
    method: str, uri: str, user: str, body: bytes, headers: dict[str, str]
) -> None:
    message = {
        "RequestMethod": method,
        "RequestUri": uri,
        "User": user,
        "RequestBody": b64(body),
        "RequestHeaders": headers,
    }
    request = read_request(orjson.dumps(message))
    assert (request.method, request.uri, request.user) == (method, uri, user)
    assert (request.body, request.headers) == (body, headers)


LARGE: Final = b64(b'{"Image":"' + b"x" * 60_000 + b'"}')
HEAD: Final = b'{"RequestMethod":"POST","RequestUri":"/v1.44/containers/create",'


@pytest.mark.parametrize(
    "rest",
    [
        b'"RequestBody":"%b"}',
        b'"RequestBody":"%b","RequestHeaders":{"RequestBody":"e30="}}',
        b'"RequestHeaders":{"RequestBody":"%b"}}',
        b'"RequestHeaders":{"RequestBody":"%b"},"RequestBody":"e30="}',
        b'"RequestHeaders":{"RequestBody":"e30="},"RequestBody":"%b"}',
        b'"RequestBody":"%b","RequestBody":"e30="}',
        b'"RequestBody":"e30=","RequestBody":"%b"}',
        b'"x":{"RequestBody":"e30="},"RequestBody":8263572419,"y":"%b"}',
        b'"x":{"RequestBody":"%b"},"RequestBody":8263572419}',
        b'"x":{"RequestBody":"%b"},"RequestBody":0}',
        b'"x":{"RequestBody":"%b"},"RequestBody":8263572419.0}',
        b'"x":{"RequestBody":"%b"},"RequestBody":8.263572419e9}',
        b'"x":8263572419,"RequestBody":"%b"}',
        b'"x\\"RequestBody":"%b"}',
        b'"x":"\\"RequestBody\\":\\"%b"}',
        b'"x"RequestBody":"%b"}',
        b'"RequestBody" : "%b"}',
        b'"RequestBody":"\\u0065%b"}',
        b'"RequestBody":"=%b"}',
        b'"RequestBody":"%b\n"}',
        b'"RequestBody":"%b"',
        b'"RequestBody":"%b',
        b'"RequestBody":"%b"}}',
        b'"RequestBody":"%b","User":1}',
    ],
)
def test_a_large_body_is_read_as_a_small_one(rest: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    message = HEAD + rest.replace(b"%b", LARGE.encode())
    found = outcome_of(message)
    monkeypatch.setattr(protocol, "_LARGE", len(message) + 1)
    assert found == outcome_of(message)


def outcome_of(message: bytes) -> AuthZReq | str:
    try:
        return read_request(message)
    except Refused as refusal:
        return str(refusal)


def test_a_large_body_is_decoded_without_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def loads(text: bytes) -> Any:
        parsed.append(len(text))
        return json.loads(text)

    monkeypatch.setattr(orjson, "loads", loads)
    message = HEAD + b'"RequestBody":"%b"}' % LARGE.encode()
    assert read_request(message).body == base64.b64decode(LARGE)
    assert parsed == [len(HEAD) + len('"RequestBody":8263572419}')]
