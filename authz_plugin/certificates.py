"""Client certificates. Only a request with a certificate needs this module and ``cryptography``."""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from authz_plugin.errors import Refused

_UNREADABLE: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class Certificate(NamedTuple):
    """A client certificate. ``sha256`` is its fingerprint in hex, ``not_after`` a time of RFC 3339.

    ``sans`` are the subject alternative names.
    """

    common_name: str
    organizations: tuple[str, ...]
    organizational_units: tuple[str, ...]
    sans: tuple[str, ...]
    sha256: str
    not_after: str


def read_certificate(pem: str) -> Certificate:
    """Read a certificate in PEM; raises ``Refused`` (``request.certificate``)."""
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
