"""Makes the AuthZ message that dockerd would send to its plugins about an API request.

The counterpart of ``protocol``, for tools that decide on requests without a dockerd. As in moby
28.5.2 ``pkg/authorization/authz.go``, the message has the body if the first Content-Type is JSON,
the last value of a repeated header, no Content-Length for a chunked request, and no credentials.
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
    """The sender of a request.

    ``user`` is the common name of a TLS client, or empty for a client that dockerd does not
    authenticate. ``certificates`` are its certificate chain as PEM, the client's own first.
    """

    user: str = ""
    certificates: tuple[str, ...] = ()


def client_with(pem: bytes) -> Client:
    """Return the client with a PEM certificate chain.

    Its user is the last common name of the first certificate's subject. Raises ``SetupError`` if
    the chain cannot be parsed.
    """
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SetupError(f"the certificate cannot be read: {error}") from error
    names = chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    texts = tuple(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)
    return Client(str(names[-1].value) if names else "", texts)


def authz_message(request: Request, client: Client) -> bytes:
    """Return the body of the ``/AuthZPlugin.AuthZReq`` that dockerd sends about a request."""
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
