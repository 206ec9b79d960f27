"""Who may read metrics and health: everybody who reaches the socket, or those with a certificate or
a token."""

from __future__ import annotations

import hmac
import socket
import ssl
from pathlib import Path
from typing import Final, NamedTuple

from authz_plugin.errors import SetupError

_SHORTEST_TOKEN: Final = 16


class Scrape(NamedTuple):
    """A listening socket. Clients need TLS if there is a context, which says whether they need a
    certificate, and the bearer ``token`` if there is one."""

    listener: socket.socket
    tls: ssl.SSLContext | None = None
    token: bytes | None = None

    def admits(self, authorization: str) -> bool:
        """Whether the value of a header ``Authorization``, or "", may read anything."""
        if self.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        given_token = given.strip().encode(errors="surrogateescape")
        return hmac.compare_digest(given_token, self.token) and scheme.lower() == "bearer"


def tls_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """A server's TLS; with ``client_ca``, clients need a certificate that it has issued.

    Raises ``SetupError`` if the files cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")  # never ask on a terminal
    except (OSError, ValueError) as error:
        raise SetupError(
            f"metrics.certificate and metrics.key: {certificate} and {key} cannot be used: {error}"
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise SetupError(f"metrics.client_ca: {client_ca} cannot be used: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def read_token(file: Path) -> bytes:
    """The token in a file, without the blanks around it; raises ``SetupError``."""
    try:
        token = file.read_bytes().strip()
    except OSError as error:
        raise SetupError(f"metrics.token_file: cannot read {file}: {error.strerror}") from error
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or b" " in token or b"\n" in token:
        raise SetupError(
            f"metrics.token_file: {file} must hold one ASCII word of at least {_SHORTEST_TOKEN} "
            "characters, as `openssl rand -hex 32` makes it"
        )
    return token
