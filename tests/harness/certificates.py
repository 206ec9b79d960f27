"""A certificate authority for one test."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HOUR: Final = timedelta(hours=1)


class Authority:
    """Issues certificates into a folder: ``ca.pem``, ``NAME.pem`` and ``NAME-key.pem``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("test authority")
        certificate = (
            _builder(self._name, self._key.public_key())
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        organization: str = "",
        address: str = "127.0.0.1",
        begins: timedelta = -_HOUR,
    ) -> tuple[Path, Path]:
        """A certificate for a name, good as server on an address and as client; and its key.

        It is valid for a day, beginning that long from now.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        served = x509.IPAddress(ipaddress.ip_address(address))
        sans = x509.SubjectAlternativeName([x509.DNSName(name), served])
        certificate = (
            _builder(_named(name, organization), key.public_key(), begins)
            .issuer_name(self._name)
            .add_extension(sans, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return (
            self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write(f"{name}-key.pem", private),
        )

    def _write(self, name: str, content: bytes) -> Path:
        file = self.folder / name
        file.write_bytes(content)
        return file


def _named(name: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _builder(
    name: x509.Name, key: ec.EllipticCurvePublicKey, begins: timedelta = -_HOUR
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) + begins
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
    )
