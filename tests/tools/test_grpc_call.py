"""A gRPC call over HTTP/2, to a real server of HTTP/2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.errors import EndpointError
from authz_plugin.tools.docker_client import Endpoint, Reply, Tls
from authz_plugin.tools.grpc_call import call
from tests.harness.certificates import Authority
from tests.harness.haproxy import one_proxy
from tests.harness.prometheus import free_port
from tests.harness.scripted import answering, bound

MESSAGE: Final = b"\x00\x00\x00\x00\x02ok"

FRONTEND: Final = """\
    http-request deny if {{ path /denied.Service/Call }}
    http-request return status 404 if {{ path /none.Service/Call }}
    http-request deny unless {{ method POST }}
    http-request deny unless {{ req.hdr(content-type) -m str application/grpc }}
    http-request deny unless {{ req.hdr(te) -m str trailers }}
    http-request return status 200 content-type application/grpc file {message}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("haproxy")
    (folder / "message").write_bytes(MESSAGE)
    with one_proxy(folder, FRONTEND.format(message=folder / "message")) as listening:
        yield Endpoint(f"unix://{listening}", unix=listening)


def test_a_call_that_is_served_brings_a_message(server: Endpoint) -> None:
    assert call(server, "/served.Service/Call") == Reply(200, {}, MESSAGE)


def test_a_call_that_is_denied_brings_the_status_and_the_page(server: Endpoint) -> None:
    reply = call(server, "/denied.Service/Call")
    assert reply.status == 403
    assert b"Request forbidden by administrative rules" in reply.body
    assert call(server, "/none.Service/Call").status == 404


def test_over_tls_http_2_is_agreed_upon(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    (tmp_path / "message").write_bytes(MESSAGE)
    port = free_port()
    frontend = (
        f"    bind 127.0.0.1:{port} ssl crt {both} alpn h2,http/1.1\n"
        "    http-request deny unless { ssl_fc_alpn h2 }\n"
    ) + FRONTEND.format(message=tmp_path / "message")
    endpoint = Endpoint("tcp", address=("127.0.0.1", port), tls=Tls(verify=True, ca=authority.ca))
    with one_proxy(tmp_path, frontend):
        assert call(endpoint, "/served.Service/Call") == Reply(200, {}, MESSAGE)


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="no Docker API"):
        call(Endpoint("unix://x", unix=tmp_path / "none"), "/x")


@contextmanager
def scripted(folder: Path, answer: bytes) -> Iterator[Endpoint]:
    """The endpoint of a server that answers with these bytes."""
    path = folder / "scripted.sock"
    with answering(bound(path), answer):
        yield Endpoint(f"unix://{path}", unix=path)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return an HTTP/2 frame (RFC 9113, section 4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"\x88", 200),
        (b"\x8d", 404),
        (b"\x20\x88", 200),
        (b"\x3f\xe1\x1f", 0),
        (b"\x08\x03403", 403),
        (b"\x48\x82\x64\x02", 302),
        (b"\x48\x83\x68\x0c\xff", 403),
        (b"\x48\x83\x13\x02\x10", 0),
        (b"\x08", 0),
        (b"\x8d\x0f", 0),
        (b"\x08\x03abc", 0),
        (b"\x00\x01a\x01b", 0),
        (b"", 0),
    ],
)
def test_the_status_is_read_however_it_is_encoded(
    tmp_path: Path, fields: bytes, status: int
) -> None:
    """The Huffman coded 302 is RFC 7541's own (C.6.1)."""
    answer = frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS | END_STREAM, 1, fields)
    with scripted(tmp_path, answer) as endpoint:
        assert call(endpoint, "/x") == Reply(status, {}, b"")


@pytest.mark.parametrize(
    "end",
    [
        frame(DATA, END_STREAM, 1),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x0bgrpc-status\x010"),
        frame(RESET, 0, 1, bytes(4)),
        frame(GOAWAY, 0, 0, bytes(8)),
        b"",
        b"\x00\x00",
        b"no frame of HTTP/2",
    ],
)
def test_an_answer_counts_until_it_ends_in_whatever_way(tmp_path: Path, end: bytes) -> None:
    begin = frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, b"\x88")
    with scripted(tmp_path, begin + frame(DATA, 0, 1, MESSAGE) + end) as endpoint:
        assert call(endpoint, "/x") == Reply(200, {}, MESSAGE)


def test_a_server_without_http_2_answers_in_http_1(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nno"
    with scripted(tmp_path, answer) as endpoint:
        assert call(endpoint, "/x") == Reply(400, {"content-type": "text/plain"}, b"")


def test_a_server_that_closes_the_connection_has_no_status(tmp_path: Path) -> None:
    with scripted(tmp_path, b"") as endpoint:
        assert call(endpoint, "/x") == Reply(0, {}, b"")


def test_a_message_of_several_frames_is_read_whole(tmp_path: Path) -> None:
    part = bytes(1 << 14)
    answer = frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, b"\x88")
    answer += frame(DATA, 0, 1, part) * 2 + frame(DATA, END_STREAM, 1, part)
    with scripted(tmp_path, answer) as endpoint:
        assert len(call(endpoint, "/x").body) == 3 << 14
