"""What the pages of the console are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flask import request

from authz_plugin.settings import Settings
from authz_plugin.tools.console.feed import Feed
from authz_plugin.tools.console.policies import Policies


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


def is_partial() -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"
