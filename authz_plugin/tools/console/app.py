"""The Flask application of the console."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Flask, Response, g, make_response, render_template
from markupsafe import Markup
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound, ServiceUnavailable

from authz_plugin import __version__
from authz_plugin.decision import visible
from authz_plugin.errors import SetupError, defect
from authz_plugin.tools.console import (
    decision_page,
    exception_page,
    live_page,
    policy_page,
    try_page,
)
from authz_plugin.tools.console.access import Access
from authz_plugin.tools.console.address import Address
from authz_plugin.tools.console.context import Console, is_partial
from authz_plugin.tools.console.explained import NoDecisionError
from authz_plugin.tools.console.guard import Guard

_BODY_LIMIT: Final = 1 << 20
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the console: ``make`` makes its blueprint.

    ``home`` is the endpoint of its entry in the navigation, under ``title``; a page without a
    ``title`` has none. ``asks`` are the endpoints that take a POST and change nothing; ``changes``
    those that change something, which are there only with ``--write``.
    """

    make: Callable[[Console], Blueprint]
    home: str = ""
    title: str = ""
    asks: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()


PAGES: Final = (
    Page(live_page.pages, "live.show", "Decisions"),
    Page(decision_page.pages, asks=frozenset({"decision.show_turned"})),
    Page(try_page.pages, "try.show", "Try", asks=frozenset({"try.ask"})),
    Page(policy_page.pages, "policy.show", "Policy"),
    Page(exception_page.pages, changes=frozenset({"exception.add"})),
)


def create_app(
    console: Console, access: Access, address: Address, pages: tuple[Page, ...] = PAGES
) -> Flask:
    """Make the application; raises ``ValueError`` if a page takes a POST that is not stated."""
    app = Flask(
        "opa-authz-console",
        static_folder=str(_FOLDER / "static"),
        template_folder=str(_FOLDER / "templates"),
        root_path=str(_FOLDER),
    )
    app.config["MAX_CONTENT_LENGTH"] = _BODY_LIMIT
    app.config["MAX_FORM_MEMORY_SIZE"] = _BODY_LIMIT
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["visible"] = visible
    Guard(access, address).protect(app)
    for page in pages:
        app.register_blueprint(page.make(console))
    _check_posts(app, console, pages)

    @app.context_processor
    def common() -> dict[str, Any]:
        session = g.get("session")
        csrf = "" if session is None else session.csrf
        return {
            "csrf": csrf,
            "csrf_field": lambda: Markup('<input type="hidden" name="csrf" value="{}">').format(
                csrf
            ),
            "host": socket.gethostname(),
            "navigation": [page for page in pages if page.title],
            "version": __version__,
            "writable": console.writable,
        }

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        template = "fault.html" if is_partial() else "error.html"
        response = make_response(render_template(template, error=error), error.code or 500)
        response.retry_after = getattr(error, "retry_after", None)
        return response

    @app.errorhandler(SetupError)
    def explain(error: SetupError) -> Response:
        return refuse(ServiceUnavailable(str(error)))

    @app.errorhandler(NoDecisionError)
    def tell_missing(error: NoDecisionError) -> Response:
        return refuse(NotFound(str(error)))

    @app.errorhandler(OSError)
    def explain_unreadable(error: OSError) -> Response:
        return refuse(ServiceUnavailable(f"{error.filename or 'a file'}: {error.strerror}"))

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        return refuse(InternalServerError(f"A defect, {defect(error)}: please report it."))

    return app


def _check_posts(app: Flask, console: Console, pages: tuple[Page, ...]) -> None:
    """Raise ``ValueError`` for a view that takes a POST and is not named by its page."""
    named = {name for page in pages for name in page.asks}
    if console.writable:
        named |= {name for page in pages for name in page.changes}
    for rule in app.url_map.iter_rules():
        if not (rule.methods or set()) <= {"GET", "HEAD", "OPTIONS"} and rule.endpoint not in named:
            raise ValueError(f"{rule.endpoint} takes {rule.methods}, which no page states")
