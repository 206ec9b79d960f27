"""A request that can be written in other ways."""

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
    archive, or None. ``target`` and ``text`` replace the request target and the body's text where
    these are to be written in another way than the usual.
    """

    method: str
    path: str
    query: Query = ()
    body: Any = None
    version: str | None = VERSION
    target: str | None = None
    text: str | None = None

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)

    def with_parameter(self, name: str, value: str) -> Request:
        """The request with another value of a query parameter, added where it is missing."""
        if self.parameter(name) is None:
            return replace(self, query=(*self.query, (name, value)))
        query = tuple((key, value if key == name else old) for key, old in self.query)
        return replace(self, query=query)

    def written_target(self) -> str:
        """The request target as it is sent."""
        if self.target is not None:
            return self.target
        prefix = "" if self.version is None else f"/v{self.version}"
        query = f"?{urlencode(self.query)}" if self.query else ""
        return f"{prefix}{quote(self.path)}{query}"

    def written_body(self) -> bytes:
        """The body as it is sent."""
        if self.text is not None:
            return self.text.encode("utf-8", "surrogatepass")
        return (
            b""
            if self.body is None or isinstance(self.body, bytes)
            else json.dumps(self.body).encode()
        )

    def headers(self) -> dict[str, str]:
        """The headers that a plugin is shown."""
        if isinstance(self.body, bytes):
            return _TAR
        if self.body is not None or self.text is not None:
            return _JSON
        return _NO_BODY if self.method in _WITH_BODY else {}

    def read(self) -> dockerd.CanonicalRequest:
        """What dockerd would do with it; raises ``Refused``."""
        return dockerd.read(self.method, self.written_target(), self.headers(), self.written_body())

    def __str__(self) -> str:
        body = self.written_body().decode("utf-8", "replace")
        return f"{self.method} {self.written_target()} {body}".rstrip()


@dataclass(frozen=True, slots=True)
class Seed:
    """A request that a rule denies somewhere, and the same without what it denies; ``what`` names
    it for people."""

    what: str
    rule: str
    request: Request
    harmless: Request


@dataclass(frozen=True, slots=True)
class Passed:
    """A respelling that a profile does not deny for what it denies the request for."""

    profile: str
    seed: Seed
    respelling: str
    request: Request

    def __str__(self) -> str:
        return (
            f"{self.profile}: {self.seed.what} [{self.seed.rule}] {self.respelling}: {self.request}"
        )
