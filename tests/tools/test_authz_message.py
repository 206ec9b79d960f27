"""What a plugin is shown of a request, as dockerd shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_plugin.errors import SetupError
from authz_plugin.protocol import AuthZReq, read_request
from authz_plugin.tools.authz_message import Client, authz_message, client_with
from authz_plugin.tools.docker_client import Request
from tests.harness.certificates import Authority

JSON = ("Content-Type", "application/json")


def shown(request: Request, client: Client = Client()) -> AuthZReq:  # noqa: B008 - frozen
    return read_request(authz_message(request, client))


def test_a_json_body_is_shown_with_target_and_length() -> None:
    request = shown(Request.of_json("POST", "/v1.44/containers%2Fcreate?name=x", {"Image": "a"}))
    assert request.method == "POST"
    assert request.uri == "/v1.44/containers%2Fcreate?name=x"
    assert request.body == b'{"Image": "a"}'
    assert request.headers["content-length"] == str(len(request.body))
    assert request.user == ""


def test_a_chunked_request_has_no_length_whatever_its_sender_claims() -> None:
    headers = (JSON, ("Content-Length", "0"))
    request = shown(Request("POST", "/containers/create", headers, b"{}", chunked=True))
    assert "content-length" not in request.headers


@pytest.mark.parametrize(
    "request_",
    [
        Request("POST", "/containers/create", (("Content-Type", "text/plain"),), b"{}"),
        Request("POST", "/containers/create", (), b"{}"),
        Request("POST", "/auth", (JSON,), b"{}"),
        Request("POST", "/v1.44/auth", (JSON,), b"{}"),
        Request("POST", "/containers/create", (("Content-Type", "text/plain"), JSON), b"{}"),
    ],
)
def test_other_bodies_are_hidden(request_: Request) -> None:
    assert shown(request_).body == b""


def test_a_path_that_only_ends_in_auth_is_shown() -> None:
    assert shown(Request("POST", "/plugins/x/auth", (JSON,), b"{}")).body == b"{}"


def test_of_a_repeated_header_the_last_value_is_shown() -> None:
    headers = (("X-One", "first"), ("x-one", "last"))
    assert shown(Request("GET", "/info", headers)).headers == {"x-one": "last"}


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Registry-Auth", "X-Registry-Config", "Host", "Transfer-Encoding"]
)
def test_credentials_and_framing_are_never_shown(name: str) -> None:
    assert shown(Request("GET", "/info", ((name, "secret"),))).headers == {}


def test_a_chunked_body_is_shown_without_a_length() -> None:
    request = shown(Request("POST", "/containers/create", (JSON,), b"{}", chunked=True))
    assert request.body == b"{}"
    assert "content-length" not in request.headers


def test_a_client_with_a_certificate_is_named_by_it(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("alice", "ops")
    request = shown(Request("GET", "/info"), client_with(certificate.read_bytes()))
    assert request.user == "alice"
    assert request.user_authn_method == "TLS"
    assert request.certificates == (certificate.read_text(),)


def test_a_client_may_be_named_without_one() -> None:
    assert shown(Request("GET", "/info"), Client("bob")).user == "bob"


def test_what_is_no_certificate_is_an_error() -> None:
    with pytest.raises(SetupError, match="certificate cannot be read"):
        client_with(b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
