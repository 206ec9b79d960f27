"""What the pages of the console are made from."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import Final

from flask import request
from werkzeug.exceptions import ServiceUnavailable

from authz_plugin.settings import Settings
from authz_plugin.tools.console.explained import Recorded, recorded_decision
from authz_plugin.tools.console.feed import Feed
from authz_plugin.tools.console.policies import Policies

MOST_SEARCHES: Final = 2
"""Searches in the audit file at the same time."""

_WAIT: Final = 1.0
"""Seconds that a request waits for its turn to search."""

_RETRY_AFTER: Final = 5
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Console:
    """``audit`` is the audit file, ``feed`` what arrives in it. ``load`` reads the settings again
    and raises ``SetupError`` if they are wrong; ``load_from`` reads them from another file than the
    settings file. ``writable`` is true with ``--write``. ``policies`` opens the policy of settings.
    """

    audit: Path
    feed: Feed
    load: Callable[[], Settings]
    writable: bool = False
    load_from: Callable[[Path], Settings] | None = None
    policies: Policies = field(default_factory=Policies, compare=False, repr=False)
    searches: BoundedSemaphore = field(
        default_factory=lambda: BoundedSemaphore(MOST_SEARCHES), compare=False, repr=False
    )

    def recorded(self, decision_id: str) -> Recorded:
        """Search the audit file for the decision with an id, which this request asks for.

        Raises as ``recorded_decision``, and ``ServiceUnavailable`` if ``MOST_SEARCHES`` requests
        search, or if the browser closes its connection.
        """
        if not self.searches.acquire(timeout=_WAIT):
            raise ServiceUnavailable(
                "Other pages search the audit file: try again in a moment.",
                retry_after=_RETRY_AFTER,
            )
        try:
            return recorded_decision(self.audit, decision_id, _check_browser)
        finally:
            self.searches.release()


def _check_browser() -> None:
    """Raise ``ServiceUnavailable`` if the browser has closed the connection of this request."""
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    if connection is None:
        return
    try:
        is_open = connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return  # it waits for the answer
    except OSError:
        is_open = False
    if not is_open:
        raise ServiceUnavailable("The browser has closed the connection.")


def is_partial() -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"
