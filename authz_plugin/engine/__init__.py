"""The policy engine: something that turns an input document into a decision, or fails."""

from __future__ import annotations

from typing import Any, Protocol

from authz_plugin.decision import Decision


class Engine(Protocol):
    """A policy decision point."""

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        """Decide on an input document.

        ``decision_id`` names the decision in the engine's own log.

        Raises ``EngineError`` whenever there is no complete decision within the deadline.
        """
