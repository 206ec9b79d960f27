"""The page of one decision: its record in the audit file."""

from __future__ import annotations

import re

from flask import Blueprint, abort, render_template

from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.decisions import decided, with_outcome
from authz_plugin.tools.console.reading import decision_links


def pages(console: Console) -> Blueprint:
    blueprint = Blueprint("decision", __name__)

    @blueprint.get("/decision/<decision_id>")
    def show(decision_id: str) -> str:
        if not re.fullmatch("[0-9a-f]{16}", decision_id):
            abort(404, "A decision's id has 16 hexadecimal digits.")
        links = decision_links(console.audit, decision_id)
        one = decided(links[0]) if links else None
        if one is None:
            abort(404, "The audit file has no decision of this id.")
        for link in links[1:]:
            one = with_outcome(one, link)
        return render_template("decision.html", one=one)

    return blueprint
