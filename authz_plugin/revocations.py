"""The revoked client certificates: the file ``revoked`` in the folder of identities.

The file contains one SHA-256 fingerprint a line, in hex. ``opa-authz identity revoke`` writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from authz_plugin.errors import Refused, SetupError

REVOKED: Final = "revoked"
"""The name of the file."""


def read_revoked(folder: Path) -> frozenset[str]:
    """The SHA-256 fingerprints, in hex, of the revoked certificates in a folder of identities.

    Raises ``SetupError`` if the list cannot be read.
    """
    try:
        return frozenset((folder / REVOKED).read_text().split())
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{folder / REVOKED} cannot be read: {error}") from error


class Revocations:
    """The revoked fingerprints of a folder of identities, read again when the file changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int, int] | None = None
        self._revoked: frozenset[str] = frozenset()

    def current(self) -> frozenset[str]:
        """The currently revoked fingerprints; raises ``Refused`` if the file cannot be read."""
        try:
            state = (self._folder / REVOKED).stat()
            seen = (state.st_ino, state.st_size, state.st_mtime_ns)
            if seen != self._seen:
                self._revoked = read_revoked(self._folder)
                self._seen = seen
        except (OSError, SetupError):
            raise Refused(
                "request.certificate",
                "RequestPeerCertificates",
                "the list of revoked certificates cannot be read",
                "tell the operator of this host",
            ) from None
        return self._revoked
