"""The page of the policy at a glance, and of the state of the plugin."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, render_template

from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.overview import overview


def pages(console: Console) -> Blueprint:
    blueprint = Blueprint("policy", __name__)

    @blueprint.get("/policy")
    def show() -> str:
        now = datetime.now(UTC)
        with console.policies.of(console.load()) as (sandbox, _):
            found = overview(sandbox, now, console.audit)
        return render_template("policy.html", found=found, now=now)

    return blueprint
