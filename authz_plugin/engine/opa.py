"""The engine that asks Open Policy Agent over its REST API.

The query is ``data.docker.authz.decision`` with strict builtin errors. Without them, a builtin
error makes a rule undefined, and an undefined denial does not deny.
"""

from __future__ import annotations

import http
import time
from typing import Any, Final

import orjson

from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine.transport import OpaAddress, UnreachableError, open_transport
from authz_plugin.errors import EngineError

DECISION_ID_HEADER: Final = "X-Decision-Id"
"""The request header that holds the decision id for OPA's decision log."""

_PACKAGE: Final = "docker/authz"
_RETRY_EVERY: Final = 0.02


class OpaEngine:
    """Queries rules of one package of one OPA.

    ``required`` names the rule packages without which a decision is incomplete; ``deadline`` is the
    time in seconds that a decision may take. If OPA cannot be reached, the query is repeated until
    the deadline, so that a restart of OPA delays decisions instead of denying requests.
    """

    def __init__(
        self, opa: OpaAddress, required: frozenset[str], deadline: float, package: str = _PACKAGE
    ) -> None:
        self._transport = open_transport(opa)
        self._required = required
        self._deadline = deadline
        self._package = package

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        return read_decision(self.ask("decision", document, decision_id), self._required)

    def ask(self, rule: str, document: dict[str, Any], decision_id: str = "") -> Any:
        """The value of a rule of the package for an input; raises ``EngineError`` if undefined.

        ``decision_id`` is sent as a header, for OPA's decision log.
        """
        query = f"/v1/data/{self._package}/{rule}?strict-builtin-errors=true"
        status, answer = self._ask(query, orjson.dumps({"input": document}), decision_id)
        if status != http.HTTPStatus.OK:
            raise EngineError(f"OPA answered with status {status}", _complaint(answer))
        try:
            fields = orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise EngineError("OPA's answer is not JSON") from None
        if not isinstance(fields, dict) or "result" not in fields:
            raise EngineError("OPA has no decision: is the policy loaded?")
        return fields["result"]

    def close(self) -> None:
        """Close the open connections to OPA."""
        self._transport.close()

    def _ask(self, query: str, question: bytes, decision_id: str) -> tuple[int, bytes]:
        end = time.monotonic() + self._deadline
        headers = {DECISION_ID_HEADER: decision_id}
        while True:
            try:
                return self._transport.exchange("POST", query, question, end, headers)
            except UnreachableError:
                if time.monotonic() + _RETRY_EVERY >= end:
                    raise
                time.sleep(_RETRY_EVERY)


def _complaint(answer: bytes) -> str:
    """Error codes and locations of OPA's answer; its messages may quote the input."""
    try:
        errors = orjson.loads(answer).get("errors") or []
        places = [
            f"{error['code']} at {error['location']['file']}:{error['location']['row']}"
            for error in errors
        ]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        places = []
    return ", ".join(places)
