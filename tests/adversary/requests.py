"""The requests of the adversary, in a form that respellings can change."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from authz_plugin import dockerd

Query = tuple[tuple[str, str], ...]

VERSION: Final = "1.44"

_JSON: Final = {"content-type": "application/json"}
_TAR: Final = {"content-type": "application/x-tar"}
_NO_BODY: Final = {"content-length": "0"}
_WITH_BODY: Final = frozenset({"POST", "PUT"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the Docker API.

    ``path`` is decoded and without a version prefix. ``body`` is a JSON value, ``b"…"`` for an
    archive, or None. ``target`` and ``text`` replace the request target and the text of the body
    in respellings that change their form.
    """

    method: str
    path: str
    query: Query = ()
    body: Any = None
    version: str | None = VERSION
    target: str | None = None
    text: str | None = None

    def parameter(self, name: str) -> str | None:
        """Return the first value of a query parameter, or None."""
        return next((value for key, value in self.query if key == name), None)

    def with_parameter(self, name: str, value: str) -> Request:
        """Return the request with a query parameter set to a value."""
        if self.parameter(name) is None:
            return replace(self, query=(*self.query, (name, value)))
        query = tuple((key, value if key == name else old) for key, old in self.query)
        return replace(self, query=query)

    def written_target(self) -> str:
        """Return the request target."""
        if self.target is not None:
            return self.target
        prefix = "" if self.version is None else f"/v{self.version}"
        query = f"?{urlencode(self.query)}" if self.query else ""
        return f"{prefix}{quote(self.path)}{query}"

    def written_body(self) -> bytes:
        """Return the bytes of the body."""
        if self.text is not None:
            return self.text.encode("utf-8", "surrogatepass")
        return (
            b""
            if self.body is None or isinstance(self.body, bytes)
            else json.dumps(self.body).encode()
        )

    def headers(self) -> dict[str, str]:
        """Return the headers in the AuthZ message."""
        if isinstance(self.body, bytes):
            return _TAR
        if self.body is not None or self.text is not None:
            return _JSON
        return _NO_BODY if self.method in _WITH_BODY else {}

    def read(self) -> dockerd.CanonicalRequest:
        """Return the canonical request; raises ``Refused``."""
        return dockerd.read(self.method, self.written_target(), self.headers(), self.written_body())

    def __str__(self) -> str:
        body = self.written_body().decode("utf-8", "replace")
        return f"{self.method} {self.written_target()} {body}".rstrip()


@dataclass(frozen=True, slots=True)
class Seed:
    """A request that ``rule`` denies, and the request without the denied field.

    ``what`` names it in messages.
    """

    what: str
    rule: str
    request: Request
    harmless: Request


@dataclass(frozen=True, slots=True)
class Case:
    """A respelling of a seed, on which a profile decides."""

    profile: str
    seed: Seed
    respelling: str
    request: Request

    def __str__(self) -> str:
        return (
            f"{self.profile}: {self.seed.what} [{self.seed.rule}] {self.respelling}: {self.request}"
        )
