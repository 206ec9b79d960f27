"""The page of the decisions as they are made, the newest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from flask import Blueprint, Response, abort, current_app, render_template, request
from jinja2 import Template

from authz_plugin.journal.chain import Link
from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.decisions import Decided, Wanted, decided, is_outcome, with_outcome
from authz_plugin.tools.console.feed import Batch, Health
from authz_plugin.tools.console.reading import links_newest_first

SHOWN: Final = 500
"""Decisions that the page holds at most; the oldest make way."""

_FIRST: Final = 100
_OLDER: Final = 100
_OLDER_LINES: Final = 50_000
"""Lines of the audit file that one search for older decisions reads at most."""

_OUTCOMES: Final = 1000
"""Lines after a decision in which its outcome is looked for."""

_END: Final = 1 << 53
"""A number that no line reaches."""

_BEAT: Final = 5.0
"""Seconds after which a connection without decisions is used, so that a dead one is noticed."""


def pages(console: Console) -> Blueprint:
    blueprint = Blueprint("live", __name__)

    @blueprint.get("/")
    def show() -> str:
        wanted = Wanted.of(request.args)
        after = console.feed.last()  # before: what arrives meanwhile comes twice, but comes
        decisions = console.feed.newest(wanted, _FIRST)
        return render_template(
            "live.html",
            wanted=wanted,
            decisions=decisions,
            after=after,
            told=_told(console.feed.health),
            reached=decisions[-1].seq if decisions else _END,
            shown=SHOWN,
        )

    @blueprint.get("/older")
    def older() -> str:
        """Search the audit file for the decisions before a line."""
        wanted = Wanted.of(request.args)
        before = request.args.get("before", _END, type=int)
        links = links_newest_first(console.audit, before + _OUTCOMES)
        found, reached = _older(links, wanted, before)
        return render_template("older.html", wanted=wanted, decisions=found, reached=reached)

    @blueprint.get("/stream")
    def stream() -> Response:
        """Decisions, and what becomes of them, as server-sent events."""
        wanted = Wanted.of(request.args)
        begin = request.args.get("after", 0, type=int)
        after = request.headers.get("Last-Event-ID", begin, type=int)
        client = console.feed.join(wanted, after)
        if client is None:
            abort(503, "Too many pages are open: close one.")

        rows = current_app.jinja_env.get_template("rows.html")

        def events() -> Iterator[str]:
            health = Health()
            yield "retry: 1000\n\n"
            while (batch := client.take(_BEAT)) is not None:
                if console.feed.health != health:
                    health = console.feed.health
                    yield _event("health", _told(health))
                yield from _events(batch, rows)

        response = Response(events(), content_type="text/event-stream")
        response.call_on_close(lambda: console.feed.leave(client))
        return response

    return blueprint


def _events(batch: Batch, rows: Template) -> Iterator[str]:
    """Yield what a batch is on the wire; a comment if it is empty."""
    if batch.lost or batch.behind:
        yield _event("lost", str(batch.lost))
    if batch.decisions:
        last = max(one.changed for one in batch.decisions)
        yield _event("rows", rows.render(decisions=batch.decisions[::-1]), last)
    else:
        yield ": \n\n"


def _event(name: str, text: str, number: int | None = None) -> str:
    """Return an event; every line break in the text, of whichever form, stays in its data."""
    lines = [f"data: {line}" for line in re.split("\r\n|\r|\n", text)]
    numbered = [] if number is None else [f"id: {number}"]
    return "\n".join([f"event: {name}", *numbered, *lines, "", ""])


def _told(health: Health) -> str:
    """What the page says about the audit file; empty if nothing is wrong."""
    if health.fault:
        return f"The audit file cannot be read: {health.fault}"
    if health.broken:
        return (
            f"Lines of the audit file that are not as they were written: {health.broken}. "
            "`opa-authz audit verify` says which."
        )
    return ""


def _older(links: Iterable[Link], wanted: Wanted, before: int) -> tuple[list[Decided], int | None]:
    """Return the wanted decisions before a line, the newest first, and the line down to which was
    searched; None if that is the first one."""
    outcomes: dict[str, Link] = {}
    found: list[Decided] = []
    for count, link in enumerate(links):
        one = decided(link)
        if is_outcome(link):
            outcomes[str(link.document.get("decision_id"))] = link
        if one is not None and link.seq < before:
            outcome = outcomes.pop(one.id, None)
            if outcome is not None:
                one = with_outcome(one, outcome)
            if wanted.takes(one):
                found.append(one)
        if len(found) == _OLDER or count == _OLDER_LINES:
            return found, link.seq
    return found, None
