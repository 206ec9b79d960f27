"""Bodies that are seen, absent or hidden: what could be hidden is refused where it could matter."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.dockerd.bodies import Content, read_body
from authz_plugin.dockerd.routes import OPERATIONS, ROUTES, STREAM
from authz_plugin.errors import Refused
from tests.refusals import attempt, refusal_of

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

READS_JSON: Final = sorted(
    (method, operation.id)
    for method, _, operation in ROUTES
    if operation.body not in {None, STREAM}
)
READS_NOTHING: Final = sorted(
    {
        (method, operation.id)
        for method, _, operation in ROUTES
        if operation.body is None and method in {"POST", "PUT"}
    }
)
READS_A_STREAM: Final = sorted(
    {(method, operation.id) for method, _, operation in ROUTES if operation.body == STREAM}
)
PARSES_NO_FORM: Final = sorted(
    {
        (method, operation.id)
        for method, _, operation in ROUTES
        if method in {"GET", "HEAD", "DELETE", "OPTIONS"}
    }
)


def content(
    method: str, operation: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Content:
    return read_body(method, OPERATIONS[operation], headers or {}, body)


def refusal(
    method: str, operation: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Refused:
    return refusal_of(lambda: content(method, operation, headers, body))


@pytest.mark.parametrize(("method", "operation"), READS_JSON)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": JSON},
        {"content-type": JSON, "content-length": "5"},
        {"content-type": JSON, "content-length": "1048576"},
        {"content-type": "text/plain", "content-length": "5"},
        {"content-type": FORM, "content-length": "5"},
        {"content-length": "00"},
        {"content-length": "+0"},
        {"content-length": ""},
        {"content-length": "0, 5"},
        {"transfer-encoding": "chunked", "content-type": JSON},
    ],
)
def test_a_json_body_that_is_not_shown_is_refused(
    method: str, operation: str, headers: dict[str, str]
) -> None:
    refused = refusal(method, operation, headers)
    assert (refused.rule, refused.field) == ("request.body-withheld", "body")
    assert operation in refused.message


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ({"content-type": "text/plain"}, "send it as Content-Type: application/json, once"),
        ({"content-type": "application/jsonx"}, "send it as Content-Type: application/json, once"),
        ({}, "send it as Content-Type: application/json, once"),
        ({"content-type": JSON}, "send it with a Content-Length"),
        ({"content-type": "Application/JSON ; charset=utf-8"}, "send it with a Content-Length"),
        ({"content-type": JSON, "content-length": "2000000"}, "send less than 1 MiB"),
    ],
)
def test_the_hint_says_why_dockerd_withholds_a_body(headers: dict[str, str], hint: str) -> None:
    assert refusal("POST", "container.create", headers).hint.startswith(hint)


@pytest.mark.parametrize(("method", "operation"), READS_JSON)
def test_a_json_body_of_no_bytes_is_the_zero_value(method: str, operation: str) -> None:
    shape = OPERATIONS[operation].body
    assert shape is not None
    assert shape != STREAM
    read = content(method, operation, {"content-length": "0", "content-type": FORM})
    assert read == Content(shape.zero(), "present")


@pytest.mark.parametrize(
    "content_type", [JSON, "text/plain", FORM, "application/json; charset=utf-8", "", "/"]
)
def test_a_body_that_is_shown_is_read_whatever_the_last_content_type_says(
    content_type: str,
) -> None:
    read = content("POST", "volume.create", {"content-type": content_type}, b'{"name":"x","z":1}')
    assert read.state == "present"
    assert read.query_authoritative
    assert read.body["Name"] == "x"
    assert read.unknown_fields == ("z",)


@pytest.mark.parametrize(
    ("body", "rule", "field"),
    [
        (b"{", "request.body-json", "body"),
        (b"{}{}", "request.body-json", "body"),
        (b'{"Name":1}', "request.body-type", "Name"),
        (b'{"Name":"a","name":"b"}', "request.body-duplicate", "Name"),
        (b"[]", "request.body-type", "body"),
        (b"Name=x", "request.body-json", "body"),
    ],
)
def test_a_body_that_means_nothing_certain_is_refused(body: bytes, rule: str, field: str) -> None:
    refused = refusal("POST", "volume.create", {"content-type": JSON}, body)
    assert (refused.rule, refused.field) == (rule, field)


TRICKS: Final = [
    FORM,
    FORM.upper(),
    f"{FORM}; bad",
    f" {FORM} ;charset=utf-8",
    f"{FORM}, text/plain",
    "multipart/form-data; boundary=x",
    "Multipart/Form-Data",
    "text/plain",
    "text/plain; bad",
    "application/octet-stream",
    JSON,
    f"{JSON}; charset=utf-8",
    "/",
    "",
    "\u212a",
]


@pytest.mark.parametrize(("method", "operation"), READS_NOTHING)
@pytest.mark.parametrize("content_type", TRICKS)
def test_a_form_that_may_hide_behind_the_last_content_type_is_refused(
    method: str, operation: str, content_type: str
) -> None:
    lengths: tuple[dict[str, str], ...] = (
        {},
        {"content-length": "12"},
        {"content-length": "00"},
        {"content-length": ""},
    )
    for length in lengths:
        refused = refusal(method, operation, {"content-type": content_type, **length})
        assert (refused.rule, refused.field) == ("request.body-form", "header.content-type")
        assert refused.hint == "send no Content-Type, or Content-Length: 0"


@pytest.mark.parametrize(("method", "operation"), READS_NOTHING)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-length": "0"},
        {"content-length": "12"},
        {"content-length": "0", "content-type": "text/plain"},
        {"content-length": "0", "content-type": FORM},
    ],
)
def test_without_content_type_or_bytes_there_is_no_form(
    method: str, operation: str, headers: dict[str, str]
) -> None:
    assert content(method, operation, headers) == Content()


@pytest.mark.parametrize(("method", "operation"), READS_NOTHING)
def test_where_a_body_is_shown_no_form_is_hidden(method: str, operation: str) -> None:
    assert content(method, operation, {"content-type": "text/plain"}, b"{}") == Content()


@pytest.mark.parametrize(("method", "operation"), PARSES_NO_FORM)
@pytest.mark.parametrize("content_type", [FORM, "multipart/form-data; boundary=x", "text/plain"])
def test_dockerd_parses_no_form_of_a_get_or_a_delete(
    method: str, operation: str, content_type: str
) -> None:
    assert (
        content(method, operation, {"content-type": content_type, "content-length": "9"})
        == Content()
    )


@pytest.mark.parametrize(("method", "operation"), READS_A_STREAM)
@pytest.mark.parametrize(
    "content_type",
    [
        FORM,
        FORM.upper(),
        f"{FORM}; bad",
        f"  {FORM}\t; charset=x",
        "multipart/form-data; boundary=x",
        "MULTIPART/FORM-DATA",
    ],
)
def test_a_form_in_place_of_an_archive_is_refused(
    method: str, operation: str, content_type: str
) -> None:
    lengths: tuple[dict[str, str], ...] = (
        {},
        {"content-length": "12"},
        {"content-length": "0"},
    )
    for length in lengths:
        refused = refusal(method, operation, {"content-type": content_type, **length})
        assert (refused.rule, refused.field) == ("request.body-form", "header.content-type")


@pytest.mark.parametrize(("method", "operation"), READS_A_STREAM)
@pytest.mark.parametrize(
    ("headers", "body", "authoritative"),
    [
        ({"content-type": "application/x-tar"}, b"", False),
        ({"content-type": "application/x-tar", "content-length": "512"}, b"", False),
        ({"content-type": JSON}, b"", False),
        ({"content-type": "text/plain"}, b"", False),
        ({"content-type": ""}, b"", False),
        ({"content-type": "application/x-tar", "content-length": "0"}, b"", True),
        ({"content-type": "text/plain"}, b"{}", True),
        ({"content-length": "512"}, b"", True),
        ({}, b"", True),
    ],
)
def test_behind_an_archive_the_query_counts_only_where_no_form_can_stand(
    method: str,
    operation: str,
    headers: dict[str, str],
    body: bytes,
    authoritative: bool,
) -> None:
    read = content(method, operation, headers, body)
    assert read == Content(state="invisible", query_authoritative=authoritative)


@pytest.mark.parametrize("operation", ["container.start", "container.checkpoint.restore"])
@pytest.mark.parametrize(
    "body", [b'{"Privileged":true}', b'{"x":1} ', b"        ", b"\0" * 8, b'{"Binds":["/:/h"]}']
)
def test_a_start_with_a_body_is_refused(body: bytes, operation: str) -> None:
    ways: tuple[dict[str, str], ...] = ({}, {"content-type": JSON}, {"content-type": "text/plain"})
    for headers in ways:
        refused = refusal("POST", operation, headers, body)
        assert (refused.rule, refused.field) == ("request.body-old-shape", "body")


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"a":1}'])
def test_a_start_with_a_body_that_every_engine_ignores_is_read(body: bytes) -> None:
    assert content("POST", "container.start", {}, body) == Content()


@given(
    st.sampled_from(sorted({(method, operation.id) for method, _, operation in ROUTES})),
    st.dictionaries(
        st.sampled_from(["content-type", "content-length", "transfer-encoding", "x"]),
        st.sampled_from([*TRICKS, "0", "5", "application/x-tar"]) | st.text(max_size=8),
    ),
    st.sampled_from([b"", b"{}", b"null", b"[]", b"[{}]", b'{"Name":""}']) | st.binary(max_size=9),
)
def test_nothing_that_could_be_a_form_is_ever_taken_for_a_query(
    route: tuple[str, str], headers: dict[str, str], body: bytes
) -> None:
    method, operation = route
    shape = OPERATIONS[operation].body
    read = attempt(lambda: content(method, operation, headers, body))
    if isinstance(read, Refused):
        assert read.rule.startswith("request.body-")
        return
    expected = "none" if shape is None else "invisible" if shape == STREAM else "present"
    assert read.state == expected
    hidden = not body and "content-type" in headers and headers.get("content-length") != "0"
    if hidden and method in {"POST", "PUT"}:
        assert not read.query_authoritative
    if expected == "present":
        assert body or headers["content-length"] == "0"
