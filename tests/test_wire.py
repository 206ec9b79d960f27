"""dockerd's requests are recognized, and no others."""

from __future__ import annotations

from typing import Final

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.wire import HEAD_LIMIT, INCOMPLETE, OTHER, Head, read_head, response

LIMIT: Final = 1000
FIRST: Final = b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: plugin.moby.localhost\r\n"
DOCKERD: Final = (
    FIRST + b"User-Agent: Go-http-client/1.1\r\n"
    b"Content-Length: 5\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n"
    b"Accept-Encoding: gzip\r\n\r\n"
)
ACTIVATION: Final = DOCKERD.replace(b"AuthZPlugin.AuthZReq", b"Plugin.Activate").replace(
    b"Content-Length: 5", b"Content-Length: 0"
)
HEADERS: Final = [
    b"Host: x\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 7\r\n",
    b"Content-Length: +5\r\n",
    b"content-length: 9\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length: 5 \r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"User-Agent: a\r\n",
    b"Accept: a\r\n",
    b"Accept-Encoding: gzip\r\n",
    b"Content-Type: a/b\r\n",
    b" folded: 1\r\n",
    b"Accept: \x01\r\n",
    b"Accept: a\n",
]


def test_dockerds_request_is_read_to_the_byte() -> None:
    head = read_head(DOCKERD + b"{...}", LIMIT)
    assert head == Head("/AuthZPlugin.AuthZReq", len(DOCKERD), len(DOCKERD) + 5)


def test_a_report_of_an_outcome_is_read() -> None:
    head = read_head(DOCKERD.replace(b"AuthZReq", b"AuthZRes"), LIMIT)
    assert isinstance(head, Head)
    assert head.path == "/AuthZPlugin.AuthZRes"


def test_the_activation_is_read() -> None:
    assert read_head(ACTIVATION, LIMIT) == Head(
        "/Plugin.Activate", len(ACTIVATION), len(ACTIVATION)
    )


@pytest.mark.parametrize("request_", [DOCKERD, ACTIVATION])
@given(st.data())
def test_a_part_of_dockerds_request_is_waited_for(request_: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(request_) - 1))
    assert read_head(request_[:length], LIMIT) == INCOMPLETE


@pytest.mark.parametrize(
    "received",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /Plugin.Activate HTTP/1.1\r\n\r\n",
        ACTIVATION.replace(b"Activate", b"activate"),
        ACTIVATION.replace(b"Activate", b"ActivateX"),
        b"POST /AuthZPlugin.AuthZReq/ HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        b"POST /AuthZPlugin.AuthZReq HTTP/1.0\r\nContent-Length: 1\r\n\r\n",
        b"POST /AuthZPlugin.AuthZReq?a HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        FIRST + b"\r\n",
        DOCKERD.replace(b"Host: plugin.moby.localhost\r\n", b""),
        DOCKERD.replace(b"User-Agent", b"Host: x\r\nUser-Agent"),
        DOCKERD.replace(b"User-Agent", b"User-Agent: x\r\nUser-Agent"),
        DOCKERD.replace(b"Accept: ", b"Content-Length: 5\r\nAccept: "),
        FIRST + b"Content-Length: 1001\r\n\r\n",
        FIRST + b"Content-Length: 000000001\r\n\r\n",
        FIRST + b"Host: " + b"x" * HEAD_LIMIT,
        b"\x16\x03\x01",
    ],
)
def test_anything_else_is_left_to_gunicorn(received: bytes) -> None:
    assert read_head(received, LIMIT) == OTHER


@given(st.lists(st.sampled_from(HEADERS), max_size=5))
def test_what_is_recognized_is_what_gunicorn_reads(headers: list[bytes]) -> None:
    """A request with another framing than gunicorn's would let a second one be hidden in it."""
    message = b"0123456789"
    received = FIRST + b"".join(headers) + b"\r\n" + message
    head = read_head(received, LIMIT)
    if not isinstance(head, Head):
        return
    request = next(RequestParser(Config(), iter([received]), ("", 0)))
    assert request.path == head.path
    assert not request.should_close()
    assert request.body is not None
    assert request.body.read() == received[head.start : head.end]


def test_a_response_has_the_form_that_clients_of_http_read() -> None:
    assert response(b"{}", "a/b") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\n{}"
    )
