"""The caller of a request, whom dockerd identifies by a TLS certificate, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from authz_plugin.protocol import AuthZReq

if TYPE_CHECKING:
    from authz_plugin.certificates import Certificate


class Caller(NamedTuple):
    """A client of dockerd. For a client on the unix socket all fields are empty.

    ``user`` and ``method`` are ``User`` and ``UserAuthNMethod`` of dockerd's message; ``revoked``
    is true if one of the certificates is revoked.
    """

    user: str
    method: str
    certificates: tuple[Certificate, ...]
    revoked: bool = False


def read_caller(request: AuthZReq, revoked: Callable[[], frozenset[str]] = frozenset) -> Caller:
    """The caller of a request; raises ``Refused`` for a certificate that cannot be read.

    ``revoked`` returns the SHA-256 fingerprints, in hex, of the revoked certificates. It is not
    called for a caller without certificate.
    """
    if not request.certificates:
        return Caller(request.user, request.user_authn_method, ())
    certificates = tuple(_certificate(pem) for pem in request.certificates)
    is_revoked = not revoked().isdisjoint(certificate.sha256 for certificate in certificates)
    return Caller(request.user, request.user_authn_method, certificates, is_revoked)


def certificate_cache() -> tuple[int, int, int]:
    """Hits, misses and entries of the cache of parsed certificates."""
    info = _certificate.cache_info()
    return info.hits, info.misses, info.currsize


@lru_cache(maxsize=256)
def _certificate(pem: str) -> Certificate:
    from authz_plugin import certificates  # noqa: PLC0415 - most hosts have no use for cryptography

    return certificates.read_certificate(pem)
