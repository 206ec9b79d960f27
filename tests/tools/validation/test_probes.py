"""A probe for every operation, and what the daemon's answers to them mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_plugin.dockerd import routes
from authz_plugin.dockerd.uri import read_target
from authz_plugin.errors import EndpointError
from authz_plugin.tools.docker_client import Endpoint, Reply, Request
from authz_plugin.tools.validation.checks import observe, ping
from authz_plugin.tools.validation.probes import PROBES, WITHOUT_PROBE
from tests.harness.scripted import answering, bound

GET = Request("GET", "/volumes")


def test_every_operation_has_a_probe_or_is_named_as_untried() -> None:
    assert PROBES.keys() | WITHOUT_PROBE == routes.OPERATIONS.keys()
    assert not PROBES.keys() & WITHOUT_PROBE


@pytest.mark.parametrize("id_", PROBES)
def test_a_probe_asks_for_its_operation(id_: str) -> None:
    target = read_target(PROBES[id_].target)
    assert routes.match(PROBES[id_].method, target.path, target.query).operation.id == id_


DENIED = (
    b'{"message":"authorization denied by plugin opa-authz: volume.list: 2 rules deny this\\n'
    b"- not allowed [sections.operation operation]; open: x\\n- no [mounts.source "
    b'HostConfig.Binds[0]]\\n (decision 0123456789abcdef)"}'
)


@pytest.mark.parametrize(
    ("status", "body", "verdict", "rules"),
    [
        (403, DENIED, "denied", ("sections.operation", "mounts.source")),
        (500, b'{"message":"plugin opa-authz failed with error: x"}', "failed", ()),
        (404, b'{"message":"page not found"}', "absent", ()),
        (404, b'{"message":"No such image: x"}', "allowed", ()),
        (403, b'{"message":"network host cannot be made"}', "allowed", ()),
        (200, b"[]", "allowed", ()),
        (400, DENIED, "allowed", ()),
    ],
)
def test_dockerds_answer_tells_whether_its_plugins_let_a_request_through(
    status: int, body: bytes, verdict: str, rules: tuple[str, ...]
) -> None:
    observation = observe(GET, Reply(status, {}, body))
    assert observation.verdict == verdict
    assert observation.rules == rules


def test_the_answer_to_a_head_has_its_status_alone() -> None:
    head = Request("HEAD", "/containers/x/archive?path=/")
    assert observe(head, Reply(403, {}, b"")).verdict == "denied"
    assert observe(head, Reply(404, {}, b"")).verdict == "allowed"


def test_a_plugin_that_gives_no_answer_is_told_at_the_first_request(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    body = b'{"message":"plugin opa-authz failed with error: connection refused"}'
    head = f"HTTP/1.1 500 Internal Server Error\r\nContent-Length: {len(body)}\r\n\r\n"
    with (
        answering(bound(path), head.encode() + body),
        pytest.raises(EndpointError, match="plugin opa-authz gives it no answer: `opa-authz doc"),
    ):
        ping(Endpoint(f"unix://{path}", unix=path))
