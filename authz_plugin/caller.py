"""The caller of a request, whom dockerd identifies by a TLS certificate, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from authz_plugin.errors import Refused
from authz_plugin.protocol import AuthZReq

_UNREADABLE: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate. ``sha256`` is its fingerprint in hex, ``not_after`` a time of RFC 3339.

    ``sans`` are the subject alternative names.
    """

    common_name: str
    organizations: tuple[str, ...]
    organizational_units: tuple[str, ...]
    sans: tuple[str, ...]
    sha256: str
    not_after: str


@dataclass(frozen=True, slots=True)
class Caller:
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
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        return Certificate(
            common_name=_common_name(certificate),
            organizations=_names(certificate, NameOID.ORGANIZATION_NAME),
            organizational_units=_names(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME),
            sans=_sans(certificate),
            sha256=certificate.fingerprint(hashes.SHA256()).hex(),
            not_after=certificate.not_valid_after_utc.isoformat(),
        )
    except _UNREADABLE:
        raise Refused(
            "request.certificate",
            "RequestPeerCertificates",
            "the client certificate cannot be read",
            "issue it as X.509 version 3",
        ) from None


def _common_name(certificate: x509.Certificate) -> str:
    """The last common name: the one that Go uses, and so dockerd for ``User``."""
    return ("", *_names(certificate, NameOID.COMMON_NAME))[-1]


def _names(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(name.value) for name in certificate.subject.get_attributes_for_oid(oid))


def _sans(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)
