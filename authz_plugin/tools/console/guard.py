"""What each request to the console must have, and each answer of it carries."""

from __future__ import annotations

from typing import Final

from flask import Flask, Response, abort, g, make_response, render_template, request

from authz_plugin.tools.console.access import SESSION_LIFETIME, Access, Session, is_from
from authz_plugin.tools.console.address import Address

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""With the referrer policy ``no-referrer``, browsers would send forms with the origin ``null``."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_OPEN: Final = frozenset({"enter", "static"})
"""Endpoints that need no session: the link, and files that are the same for everybody."""

_NEW_LINK: Final = "SIGUSR1 has the console print a new link."


class Guard:
    """Checks the requests to an application; ``protect`` has it do so."""

    def __init__(self, access: Access, address: Address) -> None:
        self._access = access
        self._cookie = address.cookie
        self._is_own_host = address.is_own_host

    def protect(self, app: Flask) -> None:
        """Check every request, add the headers to every answer, and serve the link's address."""
        app.before_request(self._check)
        app.after_request(_add_headers)
        app.add_url_rule("/enter", "enter", self._enter, methods=["GET"])

    def _check(self) -> None:
        host = request.environ.get("HTTP_HOST", "")
        if not self._is_own_host(host):
            abort(421, "The address in the browser is not one of the console's.")
        if request.method not in _METHODS:
            abort(405)
        if not _is_own_or_opened():
            abort(403, "A page of another origin asked for this.")
        if request.endpoint in _OPEN:
            return
        session = self._access.session(request.cookies.get(self._cookie, ""))
        if session is None:
            abort(403, f"Open the link that the console printed, which is good once. {_NEW_LINK}")
        g.session = session
        if request.method == "POST":
            _check_source(host, session)

    def _enter(self) -> Response:
        """Exchange the link's token for the session's cookie.

        The answer is a page that goes on to the first one, not a redirect: a browser that follows a
        link from another site would send no SameSite cookie after a redirect.
        """
        if request.method == "HEAD" or "prefetch" in request.headers.get("Sec-Purpose", ""):
            abort(503, "The link is good once: it is not fetched before it is opened.")
        session = self._access.enter(request.args.get("token", ""))
        if session is None:
            abort(403, f"This link is good once, and for ten minutes. {_NEW_LINK}")
        response = make_response(render_template("entered.html"))
        response.set_cookie(
            self._cookie,
            session.secret,
            max_age=int(SESSION_LIFETIME),
            path="/",
            httponly=True,
            samesite="Strict",
        )
        return response


def _add_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _is_own_or_opened() -> bool:
    """Whether a page of the console asks, or the browser opens a page in a window.

    SameSite does not tell the ports of a host apart: without this, pages of its other ports could
    have the console work, and hold its streams.
    """
    if request.headers.get("Sec-Fetch-Site", "none") in {"same-origin", "none"}:
        return True
    return (
        request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
    )


def _check_source(host: str, session: Session) -> None:
    """Refuse a POST that is not from a page of this session."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if request.headers.get("Origin") != f"http://{host}" or site != "same-origin":
        abort(403, "The request is not from a page of the console.")
    if not is_from(session, request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")):
        abort(403, "The page is not of this session: load it again.")
