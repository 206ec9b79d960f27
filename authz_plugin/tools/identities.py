"""A small certificate authority for dockerd's clients, in one folder.

A plugin identifies a caller by its TLS certificate alone; this issues, lists and revokes such
certificates. The folder holds ``ca.pem`` and ``ca-key.pem``, dockerd's own certificate in
``server/``, one folder for each client in ``clients/``, named as the Docker CLI wants it
(``DOCKER_CERT_PATH``), and ``revoked``, the SHA-256 fingerprints that are refused, one a line.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from authz_plugin.errors import SetupError
from authz_plugin.revocations import REVOKED, read_revoked

ORGANIZATION: Final = "opa-authz"
"""O of every client's certificate; OU is the role."""

EXPIRES_SOON: Final = timedelta(days=30)

_AUTHORITY_LIFE: Final = timedelta(days=3650)
_SERVER_LIFE: Final = timedelta(days=825)
_CLOCK_SKEW: Final = timedelta(minutes=5)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")


@dataclass(frozen=True, slots=True)
class Identity:
    """A client's certificate; ``sha256`` is its fingerprint in hex."""

    name: str
    role: str
    sha256: str
    not_after: datetime
    revoked: bool
    folder: Path

    def state(self, now: datetime) -> str:
        """``revoked``, ``expired``, ``expires soon`` or ``valid``."""
        if self.revoked:
            return "revoked"
        if self.not_after <= now:
            return "expired"
        return "expires soon" if self.not_after - now < EXPIRES_SOON else "valid"


class Identities:
    """The certificate authority in a folder. It is created when the first identity is added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.server = folder / "server"

    def add(self, name: str, role: str, life: timedelta, hosts: Sequence[str]) -> Identity:
        """Make a client's certificate, and the authority and dockerd's own if there are none.

        ``hosts`` are the names and addresses under which clients reach dockerd. Raises
        ``SetupError``.
        """
        for text, what in ((name, "a client"), (role, "a role")):
            if not _NAME.fullmatch(text):
                raise SetupError(f"{text!r} is not a name for {what}: letters, digits and . _ -")
        if (self.folder / "clients" / name).exists():
            raise SetupError(f"{name} has a certificate: revoke it first, or take another name")
        authority = self._authority()
        if hosts or not self.server.exists():
            self._write_server(authority, hosts or ["127.0.0.1", "localhost"])
        subject = _subject(name, (NameOID.ORGANIZATIONAL_UNIT_NAME, role))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        self._write_pair(self.folder / "clients" / name, authority, subject, life, usage)
        return self._read(self.folder / "clients" / name)

    def list(self) -> list[Identity]:
        """Every client that has, or had, a certificate, by name; raises ``SetupError``."""
        return [self._read(folder) for folder in sorted((self.folder / "clients").glob("*"))]

    def revoke(self, name: str) -> Identity:
        """Have a client refused from its next request on; raises ``SetupError``."""
        folder = self.folder / "clients" / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            known = ", ".join(identity.name for identity in self.list()) or "there are none"
            raise SetupError(f"there is no client {name}: {known}")
        revoked = {*read_revoked(self.folder), self._read(folder).sha256}
        _write(self.folder / REVOKED, "".join(f"{line}\n" for line in sorted(revoked)), 0o644)
        return self._read(folder)

    def forget(self, name: str) -> None:
        """Remove a revoked client's files, so that its name is free; the revocation stays."""
        identity = next((one for one in self.list() if one.name == name), None)
        if identity is None or not identity.revoked:
            raise SetupError(f"{name} is not a revoked client")
        shutil.rmtree(identity.folder)

    def _authority(self) -> _Pair:
        if self.ca.exists():
            return _Pair.load(self.ca, self.folder / "ca-key.pem")
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _subject("opa-authz authority")
        certificate = (
            _builder(name, name, key.public_key(), _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(key, hashes.SHA256())
        )
        pair = _Pair(certificate, key)
        _write(self.folder / "ca-key.pem", pair.key_pem(), 0o600)
        _write(self.folder / REVOKED, "", 0o644)
        _write(self.ca, pair.certificate_pem(), 0o644)
        return pair

    def _write_server(self, authority: _Pair, hosts: Sequence[str]) -> None:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        names = x509.SubjectAlternativeName(list(_general_names(hosts)))
        self._write_pair(self.server, authority, _subject("dockerd"), _SERVER_LIFE, usage, names)

    def _write_pair(
        self,
        folder: Path,
        authority: _Pair,
        subject: x509.Name,
        life: timedelta,
        *extensions: x509.ExtensionType,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, authority.certificate.subject, key.public_key(), life)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        pair = _Pair(builder.sign(authority.key, hashes.SHA256()), key)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / "key.pem", pair.key_pem(), 0o600)
        _write(folder / "ca.pem", authority.certificate_pem(), 0o644)
        _write(folder / "cert.pem", pair.certificate_pem(), 0o644)

    def _read(self, folder: Path) -> Identity:
        try:
            certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        except (OSError, ValueError) as error:
            raise SetupError(f"{folder}/cert.pem cannot be read: {error}") from error
        roles = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        return Identity(
            name=folder.name,
            role=str(roles[0].value) if roles else "",
            sha256=fingerprint,
            not_after=certificate.not_valid_after_utc,
            revoked=fingerprint in read_revoked(self.folder),
            folder=folder,
        )


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, certificate: Path, key: Path) -> _Pair:
        try:
            loaded = serialization.load_pem_private_key(key.read_bytes(), None)
            pem = certificate.read_bytes()
        except (OSError, ValueError, TypeError) as error:
            raise SetupError(f"the authority cannot be read: {error}") from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise SetupError(f"{key} is not a key of this authority")
        return cls(x509.load_pem_x509_certificate(pem), loaded)

    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()


_SIGNS_CERTIFICATES: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _subject(name: str, *more: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    parts = ((NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, ORGANIZATION), *more)
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _general_names(hosts: Sequence[str]) -> Iterator[x509.GeneralName]:
    for host in hosts:
        try:
            yield x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            if not _HOST.fullmatch(host):
                raise SetupError(f"{host!r} is neither an address nor a host's name") from None
            yield x509.DNSName(host)


def _write(file: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all, never readable for more than ``mode`` says."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)
