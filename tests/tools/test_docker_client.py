"""A client that sends exactly what it is told to, to where the Docker CLI would."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from authz_plugin.errors import EndpointError, SettingsError
from authz_plugin.tools.docker_client import (
    Endpoint,
    Reply,
    Request,
    Tls,
    exchange,
    exchange_bytes,
    find_endpoint,
)
from tests.harness.certificates import Authority

ANSWER = (
    b"HTTP/1.1 404 Not Found\r\nX-Name: v\r\nContent-Length: 19\r\n\r\n" + b'{"message":"no x"}\n'
)


class Peer:
    """Accepts one connection, keeps what it reads and says one thing."""

    def __init__(self, listener: socket.socket, answer: bytes) -> None:
        self._listener = listener
        self._answer = answer
        self.heard = b""
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # a handshake that failed
            return
        with connection:
            connection.settimeout(0.2)
            with suppress(TimeoutError):
                while part := connection.recv(65536):
                    self.heard += part
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked may be gone
                connection.sendall(self._answer)


@contextmanager
def peer(listener: socket.socket, answer: bytes = ANSWER) -> Iterator[Peer]:
    served = Peer(listener, answer)
    served.thread.start()
    try:
        yield served
    finally:
        served.thread.join()
        listener.close()


@contextmanager
def unix_peer(tmp_path: Path, answer: bytes = ANSWER) -> Iterator[tuple[Peer, Endpoint]]:
    path = tmp_path / "docker.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    with peer(listener, answer) as served:
        yield served, Endpoint(f"unix://{path}", unix=path)


def test_target_and_repeated_headers_are_sent_as_they_are(tmp_path: Path) -> None:
    headers = (("Content-Type", "a"), ("content-type", "b"))
    request = Request("POST", "/containers%2Fcreate?a=1&a=2#%zz", headers, b"{}")
    with unix_peer(tmp_path) as (served, endpoint):
        exchange(endpoint, request)
    lines = served.heard.split(b"\r\n")
    assert lines[0] == b"POST /containers%2Fcreate?a=1&a=2#%zz HTTP/1.1"
    assert lines.index(b"Content-Type: a") < lines.index(b"content-type: b")
    assert b"Content-Length: 2" in lines
    assert served.heard.endswith(b"\r\n\r\n{}")


def test_a_chunked_body_has_no_length(tmp_path: Path) -> None:
    with unix_peer(tmp_path) as (served, endpoint):
        exchange(endpoint, Request("POST", "/x", (), b"x" * 26, chunked=True))
    assert b"Content-Length" not in served.heard
    assert served.heard.endswith(b"\r\n\r\n1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n")


def test_an_endpoint_names_who_asks_unless_the_request_does(tmp_path: Path) -> None:
    for headers, agents in (
        ((("X-A", "1"),), [b"User-Agent: opa-authz/1 doctor"]),
        ((("user-agent", "mine"),), [b"user-agent: mine"]),
    ):
        folder = tmp_path / headers[0][0]
        folder.mkdir()
        with unix_peer(folder) as (served, endpoint):
            exchange(
                dataclasses.replace(endpoint, agent="opa-authz/1 doctor"),
                Request("GET", "/x", headers),
            )
        lines = served.heard.split(b"\r\n")
        assert [line for line in lines if line.lower().startswith(b"user-agent")] == agents


def test_bytes_are_sent_as_bytes(tmp_path: Path) -> None:
    raw = b"GET //x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    with unix_peer(tmp_path) as (served, endpoint):
        exchange_bytes(endpoint, raw, "GET")
    assert served.heard == raw


def test_an_answer_has_its_status_headers_and_dockerds_message(tmp_path: Path) -> None:
    with unix_peer(tmp_path) as (_, endpoint):
        reply = exchange(endpoint, Request("GET", "/x"))
    assert (reply.status, reply.headers["x-name"], reply.message) == (404, "v", "no x")


def test_an_upgraded_connection_has_no_body_to_wait_for(tmp_path: Path) -> None:
    with unix_peer(tmp_path, b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nstream") as (
        _,
        endpoint,
    ):
        assert exchange(endpoint, Request("POST", "/exec/x/start")).body == b""


@pytest.mark.parametrize("answer", [b"", b"not HTTP at all\r\n\r\n"])
def test_what_is_no_answer_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with (
        unix_peer(tmp_path, answer) as (_, endpoint),
        pytest.raises(EndpointError, match="gave no answer"),
    ):
        exchange(endpoint, Request("GET", "/x"))


def test_a_slow_answer_is_an_error(tmp_path: Path) -> None:
    with (
        unix_peer(tmp_path) as (_, endpoint),
        pytest.raises(EndpointError, match=r"within 0\.05 s"),
    ):
        exchange(endpoint, Request("GET", "/x"), timeout=0.05)


def test_nobody_there_is_an_error_that_names_the_endpoint(tmp_path: Path) -> None:
    endpoint = Endpoint("unix:///none", unix=tmp_path / "none")
    with pytest.raises(EndpointError, match="no Docker API at unix:///none"):
        exchange(endpoint, Request("GET", "/x"))


def test_a_body_that_is_not_json_is_an_error() -> None:
    with pytest.raises(EndpointError, match="something else than JSON"):
        Reply(200, {}, b"<html>").json()


def tls_listener(authority: Authority) -> socket.socket:
    certificate, key = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    return context.wrap_socket(listener, server_side=True)


def test_tls_shows_the_client_certificate_and_checks_the_servers(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    certificate, key = authority.issue("alice")
    listener = tls_listener(authority)
    url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    tls = Tls(verify=True, ca=authority.ca, certificate=certificate, key=key)
    with peer(listener) as served:
        endpoint = find_endpoint(url, tls, {}, tmp_path)
        assert exchange(endpoint, Request("GET", "/x")).status == 404
    assert served.heard.startswith(b"GET /x ")


def test_tls_refuses_a_server_of_another_authority(tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    listener = tls_listener(Authority(tmp_path / "ours"))
    url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    with peer(listener) as served:
        endpoint = find_endpoint(url, Tls(verify=True, ca=other.ca), {}, tmp_path)
        with pytest.raises(EndpointError, match="CERTIFICATE_VERIFY_FAILED"):
            exchange(endpoint, Request("GET", "/x"))
    assert served.heard == b""


@pytest.mark.parametrize(
    ("flag", "variable", "unix", "address"),
    [
        (None, None, "/var/run/docker.sock", ("", 0)),
        (None, "unix:///x.sock", "/x.sock", ("", 0)),
        ("unix:///y.sock", "unix:///x.sock", "/y.sock", ("", 0)),
        ("tcp://host", None, None, ("host", 2375)),
        ("tcp://host:1", None, None, ("host", 1)),
        ("tcp://[::1]:2", None, None, ("::1", 2)),
    ],
)
def test_the_endpoint_is_the_one_that_docker_would_take(
    tmp_path: Path,
    flag: str | None,
    variable: str | None,
    unix: str | None,
    address: tuple[str, int],
) -> None:
    environment = {} if variable is None else {"DOCKER_HOST": variable}
    found = find_endpoint(flag, None, environment, tmp_path)
    assert found.unix == (None if unix is None else Path(unix))
    assert found.address == address
    assert found.tls is None


def test_dockers_variables_for_tls_count(tmp_path: Path) -> None:
    folder = tmp_path / ".docker"
    folder.mkdir()
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).touch()
    environment = {"DOCKER_HOST": "tcp://host", "DOCKER_TLS_VERIFY": "1"}
    found = find_endpoint(None, None, environment, tmp_path)
    files = (folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    assert found.tls == Tls(verify=True, ca=files[0], certificate=files[1], key=files[2])
    assert found.address == ("host", 2376)


@pytest.mark.parametrize(
    "url", ["ssh://host", "host:2375", "unix://", "npipe:////./pipe/x", "https://host"]
)
def test_other_endpoints_are_a_mistake_that_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="neither unix://PATH nor tcp://HOST:PORT"):
        find_endpoint(url, None, {}, tmp_path)
