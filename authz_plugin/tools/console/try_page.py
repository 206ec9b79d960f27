"""The page on which a request is tried, on the policy alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from flask import Blueprint, Response, abort, make_response, render_template, request

from authz_plugin.errors import SetupError
from authz_plugin.tools.console.context import Console, is_partial
from authz_plugin.tools.console.run_options import create_request, option_names
from authz_plugin.tools.console.trial import METHODS, Asker, Trial, raw_request, tried
from authz_plugin.tools.docker_client import Request

_MAX_GRANTS: Final = 20
_AT_A_TIME: Final = 2
_WAIT: Final = 15.0
"""Seconds that a trial waits for others."""

_trying: Final = threading.BoundedSemaphore(_AT_A_TIME)


def pages(console: Console) -> Blueprint:
    blueprint = Blueprint("try", __name__)

    @blueprint.get("/try")
    def show() -> Response:
        return page(None, "")

    @blueprint.post("/try")
    def ask() -> Response:
        if not _trying.acquire(timeout=_WAIT):
            abort(429, "Other requests are being tried: try again when they are decided.")
        try:
            return page(_tried(console, request.form), "")
        except SetupError as error:
            return page(None, str(error))
        finally:
            _trying.release()

    def page(trial: Trial | None, fault: str) -> Response:
        form = request.form.get("form", "run")
        answer = {"trial": trial, "fault": fault, "form": form}
        if is_partial():
            content = render_template("tried.html", **answer)
        else:
            with console.policies.of(console.load()) as (sandbox, _):
                roles = sandbox.config["role_order"]
            content = render_template(
                "try.html",
                given=request.form,
                methods=METHODS,
                options=option_names(),
                roles=roles,
                **answer,
            )
        return make_response(content, 422 if fault else 200)

    return blueprint


def _tried(console: Console, given: Mapping[str, str]) -> Trial:
    """Try what a form holds; raises ``SetupError`` if it cannot be tried."""
    wanted = _request(given)
    asker = Asker(given.get("user", "").strip(), given.get("role", ""))
    granted = request.form.getlist("grant")[:_MAX_GRANTS]
    with console.policies.of(console.load()) as (sandbox, explainer):
        return tried(sandbox, explainer, wanted, asker, granted)


def _request(given: Mapping[str, str]) -> Request:
    if given.get("form") == "raw":
        path = given.get("path", "").strip()
        return raw_request(given.get("method", ""), path, given.get("body", ""))
    return create_request(given.get("line", ""))
