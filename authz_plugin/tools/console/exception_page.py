"""The page that adds an exception for what a decision denied; it is there with ``--write`` only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Blueprint, Response, abort, make_response, render_template, request

from authz_plugin.errors import SetupError
from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.new_exception import (
    LONGEST_REASON,
    Added,
    Choice,
    add_exception,
    choices,
)

_DAYS: Final = 30


def pages(console: Console) -> Blueprint:
    blueprint = Blueprint("exception", __name__)
    load_from = console.load_from
    if not console.writable or load_from is None:
        return blueprint

    def found(decision_id: str) -> list[Choice]:
        decision, _ = console.recorded(decision_id)
        if decision.document is None:
            raise SetupError("The input of this decision was not recorded (audit.inputs).")
        with console.policies.of(console.load()) as (sandbox, _):
            return choices(sandbox, decision.document)

    def page(decision_id: str, fault: str = "", added: Added | None = None) -> Response:
        content = render_template(
            "exception.html",
            decision_id=decision_id,
            choices=found(decision_id) if added is None else [],
            given=request.form,
            fault=fault,
            added=added,
            today=datetime.now(UTC).date(),
            expires=(datetime.now(UTC) + timedelta(days=_DAYS)).date(),
            longest=LONGEST_REASON,
        )
        return make_response(content, 422 if fault else 200)

    @blueprint.get("/decision/<decision_id>/exception")
    def show(decision_id: str) -> Response:
        return page(decision_id)

    @blueprint.post("/decision/<decision_id>/exception")
    def add(decision_id: str) -> Response:
        choice = next(
            (one for one in found(decision_id) if one.id == request.form.get("choice")), None
        )
        if choice is None:
            abort(422, "Choose one of the exceptions.")
        try:
            added = add_exception(
                console.load(),
                choice,
                reason=request.form.get("reason", ""),
                expires=request.form.get("expires", ""),
                accepts_danger=choice.id in request.form.getlist("accept"),
                load=load_from,
            )
        except SetupError as error:
            return page(decision_id, fault=str(error))
        return page(decision_id, added=added)

    return blueprint
