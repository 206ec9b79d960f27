"""The page of one decision: why it was made, what would allow it, and what that would turn."""

from __future__ import annotations

import threading
from typing import Final

from flask import Blueprint, abort, render_template, request

from authz_plugin.errors import SetupError
from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.explained import explained, told, turned

_MAX_GRANTS: Final = 20

_replaying: Final = threading.Lock()


def pages(console: Console) -> Blueprint:
    blueprint = Blueprint("decision", __name__)

    @blueprint.get("/decision/<decision_id>")
    def show(decision_id: str) -> str:
        recorded = console.recorded(decision_id)
        granted = request.args.getlist("grant")[:_MAX_GRANTS]
        try:
            with console.policies.of(console.load()) as (sandbox, explainer):
                one = explained(recorded, sandbox, explainer, granted)
        except SetupError as error:
            one = told(recorded, str(error))
        return render_template("decision.html", one=one)

    @blueprint.post("/decision/<decision_id>/turned")
    def show_turned(decision_id: str) -> str:
        """Decide on the last day once more, for one browser at a time."""
        recorded = console.recorded(decision_id)
        if not _replaying.acquire(blocking=False):
            abort(429, "Another replay runs: try again when it has ended.")
        try:
            with console.policies.of(console.load()) as (sandbox, _):
                found = turned(console.audit, recorded, sandbox)
        finally:
            _replaying.release()
        return render_template("turned.html", found=found)

    return blueprint
