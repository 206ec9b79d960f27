"""Open Policy Agent, asked over its REST API.

Asks for ``data.docker.authz.decision`` with strict builtin errors: without them a rule that cannot
be computed is silently absent, and an absent denial would allow.
"""

from __future__ import annotations

import http
import time
from typing import Any, Final

import orjson

from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine import DECISION_ID
from authz_plugin.engine.transport import UnreachableError, open_transport
from authz_plugin.errors import EngineError
from authz_plugin.settings import OpaSettings

DECISION_ID_HEADER: Final = "X-Decision-Id"
"""The header that carries our decision id, for OPA's own decision log."""

_PACKAGE: Final = "docker/authz"
_RETRY_EVERY: Final = 0.02


class OpaEngine:
    """Asks one OPA, of a package that has a ``decision``.

    ``required`` names the rule packages without which no decision is complete; ``deadline`` is
    the time in seconds that a decision may take. An OPA that cannot be reached is tried again
    until then, so that a restart costs its callers time and nothing else.
    """

    def __init__(
        self, opa: OpaSettings, required: frozenset[str], deadline: float, package: str = _PACKAGE
    ) -> None:
        self._transport = open_transport(opa)
        self._required = required
        self._deadline = deadline
        self._package = package

    def decide(self, document: dict[str, Any]) -> Decision:
        return read_decision(self.ask("decision", document), self._required)

    def ask(self, rule: str, document: dict[str, Any]) -> Any:
        """What a rule of the package says of an input; raises ``EngineError`` if nothing."""
        query = f"/v1/data/{self._package}/{rule}?strict-builtin-errors=true"
        status, answer = self._ask(query, orjson.dumps({"input": document}))
        if status != http.HTTPStatus.OK:
            raise EngineError(_complaint(status, answer))
        try:
            fields = orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise EngineError("OPA's answer is not JSON") from None
        if not isinstance(fields, dict) or "result" not in fields:
            raise EngineError("OPA has no decision: is the policy loaded?")
        return fields["result"]

    def close(self) -> None:
        """Close what is kept open to OPA."""
        self._transport.close()

    def _ask(self, query: str, question: bytes) -> tuple[int, bytes]:
        end = time.monotonic() + self._deadline
        headers = {DECISION_ID_HEADER: DECISION_ID.get()}
        while True:
            try:
                return self._transport.exchange("POST", query, question, end, headers)
            except UnreachableError:
                if time.monotonic() + _RETRY_EVERY >= end:
                    raise
                time.sleep(_RETRY_EVERY)


def _complaint(status: int, answer: bytes) -> str:
    """OPA's own words about an evaluation that failed, without the input that it may quote."""
    try:
        errors = orjson.loads(answer).get("errors") or []
        places = [
            f"{error['code']} at {error['location']['file']}:{error['location']['row']}"
            for error in errors
        ]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        places = []
    return f"OPA answered with status {status}" + (f": {', '.join(places)}" if places else "")
