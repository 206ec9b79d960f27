"""HTTP to OPA, over a unix socket as over TCP."""

from __future__ import annotations

from urllib.parse import quote

import requests
from requests_unixsocket.adapters import UnixAdapter


def open_session() -> requests.Session:
    """A session that keeps its connections and takes nothing from the environment."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http+unix://", UnixAdapter())  # type: ignore[no-untyped-call]
    return session


def base_url(url: str) -> str:
    """The base of an OPA's address: ``unix:/path`` or ``http(s)://host``."""
    if url.startswith("unix:"):
        return f"http+unix://{quote(url.removeprefix('unix:'), safe='')}"
    return url.rstrip("/")
