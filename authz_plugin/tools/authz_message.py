"""What dockerd shows a plugin of a request: an API request to the AuthZ message about it.

The counterpart of ``protocol``, for tools that ask what would be decided of a request that no
dockerd has seen. It follows the engines that show the most (moby 28.5.2
``pkg/authorization/authz.go``): a body is shown if its first Content-Type is JSON, of a repeated
header the last value, of a chunked request no length, credentials never.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from authz_plugin.errors import SetupError
from authz_plugin.tools.docker_client import Request

_HIDDEN_HEADERS: Final = frozenset(
    {"authorization", "host", "transfer-encoding", "x-registry-auth", "x-registry-config"}
)
_LOGIN: Final = re.compile(r"[^/]*/(v\d[\d.]*/)?auth.*")


@dataclass(frozen=True, slots=True)
class Client:
    """Who sends a request: nobody known, a TLS client by name, or one with certificates (PEM)."""

    user: str = ""
    certificates: tuple[str, ...] = ()


def client_with(pem: bytes) -> Client:
    """The client that presents a chain of certificates; raises ``SetupError`` if it is none."""
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SetupError(f"the certificate cannot be read: {error}") from error
    names = chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    texts = tuple(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)
    return Client(str(names[-1].value) if names else "", texts)


def authz_message(request: Request, client: Client) -> bytes:
    """The body of the ``/AuthZPlugin.AuthZReq`` that dockerd sends about a request."""
    message: dict[str, Any] = {"RequestMethod": request.method, "RequestUri": request.target}
    if client.user or client.certificates:
        message["User"] = client.user
        message["UserAuthNMethod"] = "TLS"
    if client.certificates:
        message["RequestPeerCertificates"] = [_base64(c.encode()) for c in client.certificates]
    headers = {
        name.title(): value
        for name, value in request.headers
        if name.lower() not in _HIDDEN_HEADERS
        and not (request.chunked and name.lower() == "content-length")
    }
    if not request.chunked and (request.body or request.method in {"POST", "PUT"}):
        headers["Content-Length"] = str(len(request.body))
    message["RequestHeaders"] = headers
    if request.body and _is_shown(request):
        message["RequestBody"] = _base64(request.body)
    return orjson.dumps(message)


def _is_shown(request: Request) -> bool:
    if _LOGIN.fullmatch(request.target.partition("?")[0]):
        return False
    return _first(request.headers, "content-type").partition(";")[0].strip().lower() == (
        "application/json"
    )


def _first(headers: Sequence[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
