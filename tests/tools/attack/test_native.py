"""A gRPC call over HTTP/2, to a real server of HTTP/2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.native import _status, call
from authz_plugin.tools.docker_client import Endpoint, Reply, Tls
from tests.harness.certificates import Authority
from tests.harness.haproxy import one_proxy
from tests.harness.prometheus import free_port

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
    with one_proxy(folder, FRONTEND.format(message=folder / "message")) as socket:
        yield Endpoint(f"unix://{socket}", unix=socket)


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


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"\x88", 200),
        (b"\x8d\x0f", 404),
        (b"\x20\x88", 200),
        (b"\x3f\xe1\x1f", 0),
        (b"\x08\x03403", 403),
        (b"\x48\x82\x64\x02", 302),
        (b"\x48\x83\x68\x0c\xff", 403),
        (b"\x48\x83\x13\x02\x10", 0),
        (b"\x08", 0),
        (b"\x08\x03abc", 0),
        (b"\x00\x01a\x01b", 0),
        (b"", 0),
    ],
)
def test_the_status_is_the_first_field(fields: bytes, status: int) -> None:
    """The Huffman coded 302 is RFC 7541's own (C.6.1)."""
    assert _status(fields) == status
