"""What the pages of the console are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flask import request

from authz_plugin.settings import Settings
from authz_plugin.tools.console.feed import Feed


@dataclass(frozen=True, slots=True)
class Console:
    """``audit`` is the audit file, ``feed`` what arrives in it. ``load`` reads the settings again
    and raises ``SetupError`` if they are wrong. ``writable`` is true with ``--write``."""

    audit: Path
    feed: Feed
    load: Callable[[], Settings]
    writable: bool = False


def is_partial() -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"
