"""The bytes of a request, and which answer is read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.model import JSON, RequestTemplate
from authz_plugin.tools.attack.rendering import AttackContext, render
from authz_plugin.tools.attack.sending import send, wire_format
from authz_plugin.tools.docker_client import Endpoint
from tests.harness.scripted import answering, bound

CONTEXT: Final = AttackContext({"name": "x"}, {"Image": "busybox:1", "HostConfig": {}})
PING: Final = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
PONG: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
CREATED: Final = b"HTTP/1.1 201 Created\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\n{}"


def wire(template: RequestTemplate) -> bytes:
    return wire_format(template, render(template, CONTEXT))


def test_a_request_line_has_the_protocol_of_its_template() -> None:
    template = RequestTemplate("PRI", "*", protocol="HTTP/2.0")
    assert wire(template) == b"PRI * HTTP/2.0\r\nHost: docker\r\nConnection: close\r\n\r\n"


def test_a_body_cannot_change_the_request_line() -> None:
    template = RequestTemplate("POST", "/<name>", "a HTTP/1.1\r\nConnection: close\r\n", (JSON,))
    head, _, body = wire(template).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert body == b"a HTTP/1.1\r\nConnection: close\r\n"


def test_an_upgrade_is_an_option_of_the_connection() -> None:
    assert b"\r\nConnection: Upgrade, close\r\n" in wire(
        RequestTemplate("GET", "/x", headers=(("Upgrade", "h2c"),))
    )
    assert b"\r\nConnection: close\r\n" in wire(RequestTemplate("GET", "/x"))


def test_of_two_requests_on_one_connection_the_second_is_answered(tmp_path: Path) -> None:
    template = RequestTemplate("POST", "/<name>", "{}", (JSON,), preceding=PING)
    request, path = render(template, CONTEXT), tmp_path / "docker.sock"
    with answering(bound(path), PONG + CREATED) as received:
        reply = send(Endpoint(f"unix://{path}", unix=path), template, request)
    assert (reply.status, reply.headers["api-version"], reply.body) == (201, "1.51", b"{}")
    assert received == [PING + request.to_bytes()]


def test_an_attack_names_its_tool(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    endpoint = Endpoint(f"unix://{path}", unix=path, agent="opa-authz/1 attack")
    template = RequestTemplate("POST", "/x", "{}", (JSON,))
    with answering(bound(path), CREATED) as received:
        send(endpoint, template, render(template, CONTEXT))
    assert b"\r\nUser-Agent: opa-authz/1 attack\r\n" in received[0]


@pytest.mark.parametrize("answer", [PONG, b""])
def test_an_answer_to_the_first_of_two_requests_alone_is_none(
    tmp_path: Path, answer: bytes
) -> None:
    template = RequestTemplate("GET", "/x", preceding=PING)
    path = tmp_path / "docker.sock"
    endpoint = Endpoint(f"unix://{path}", unix=path)
    with (
        answering(bound(path), answer),
        pytest.raises(EndpointError, match="gave no answer"),
    ):
        send(endpoint, template, render(template, CONTEXT))
