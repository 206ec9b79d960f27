"""A console in this process, and a browser that has opened its link."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from authz_plugin.settings import Settings
from authz_plugin.tools.console.access import Access
from authz_plugin.tools.console.address import Address
from authz_plugin.tools.console.app import PAGES, Page, create_app
from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.feed import Feed
from authz_plugin.tools.console.policies import Policies
from tests.conftest import with_policy

HOST: Final = "127.0.0.1:9718"
ADDRESS: Final = Address("127.0.0.1", 9718)


OPENED: Final[list[Policies]] = []
"""The policies of consoles that are not closed yet."""


class Browser:
    """A browser that sends what browsers send, and what a test changes of it."""

    def __init__(self, app: Flask, csrf: str = "") -> None:
        self.client: FlaskClient = app.test_client()
        self.csrf = csrf

    def get(self, path: str, host: str = HOST, **headers: str) -> TestResponse:
        return self._send("GET", path, host, headers)

    def submit(self, path: str, /, **fields: str | list[str]) -> TestResponse:
        """POST the fields of a form, as htmx does."""
        return self.client.post(
            path,
            data=fields,
            base_url=f"http://{HOST}",
            headers={
                "Origin": f"http://{HOST}",
                "Sec-Fetch-Site": "same-origin",
                "X-CSRF-Token": self.csrf,
                "HX-Request": "true",
            },
        )

    def post(self, path: str, **changed: str | None) -> TestResponse:
        """POST from a page of the console; a header that is None is left out."""
        sent = {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
        sent |= {"X-CSRF-Token": self.csrf}
        return self._send("POST", path, HOST, sent | _named(changed))

    def _send(
        self, method: str, path: str, host: str, headers: Mapping[str, str | None]
    ) -> TestResponse:
        kept = {name: text for name, text in _named(headers).items() if text is not None}
        return self.client.open(
            path, method=method, base_url=f"http://{host}", headers=kept, buffered=True
        )


def _named(headers: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name.replace("_", "-"): text for name, text in headers.items()}


class Opened:
    """A console on an audit file, and its access."""

    def __init__(
        self,
        audit: Path,
        *,
        writable: bool = False,
        pages: tuple[Page, ...] = PAGES,
        load: Callable[[], Settings] = lambda: with_policy(profile="production"),
        load_from: Callable[[Path], Settings] | None = None,
    ) -> None:
        self.audit = audit
        self.feed = Feed(audit)
        self.access = Access(lambda: self.now)
        self.now = 0.0
        self.console = Console(audit, self.feed, load, writable, load_from)
        OPENED.append(self.console.policies)
        self.app = create_app(self.console, self.access, ADDRESS, pages)

    def browser(self) -> Browser:
        """A browser that has opened the link."""
        browser = Browser(self.app)
        token = self.access.new_token()
        assert browser.get(f"/enter?token={token}").status_code == 200
        cookie = browser.client.get_cookie(ADDRESS.cookie, domain="127.0.0.1")
        assert cookie is not None
        session = self.access.session(cookie.value)
        assert session is not None
        browser.csrf = session.csrf
        return browser
