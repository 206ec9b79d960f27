"""The interface of policy engines, which compute the decision on an input document."""

from __future__ import annotations

from typing import Any, Protocol

from authz_plugin.decision import Decision


class Engine(Protocol):
    """A policy decision point."""

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        """Decide on an input document (``document.input_document``).

        ``decision_id`` identifies the decision in the engine's own log.

        Raises ``EngineError`` if there is no complete decision within the deadline.
        """
