"""The policy engine: something that turns an input document into a decision, or fails."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final, Protocol

from authz_plugin.decision import Decision

DECISION_ID: Final[ContextVar[str]] = ContextVar("decision_id", default="")
"""The id of the decision under way in this thread, for an engine that writes it down."""


class Engine(Protocol):
    """A policy decision point."""

    def decide(self, document: dict[str, Any]) -> Decision:
        """Decide on an input document.

        Raises ``EngineError`` whenever there is no complete decision within the deadline.
        """
