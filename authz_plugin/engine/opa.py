"""Open Policy Agent, asked over its REST API, on a unix socket or over HTTP.

Asks for ``data.docker.authz.decision`` with strict builtin errors: without them a rule that cannot
be computed is silently absent, and an absent denial would allow.
"""

from __future__ import annotations

import time
from typing import Any, Final

import orjson
import requests

from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine.session import base_url, open_session
from authz_plugin.errors import EngineError, EngineSetupError
from authz_plugin.settings import OpaSettings

_QUERY: Final = "/v1/data/docker/authz/decision?strict-builtin-errors=true"
_RETRY_EVERY: Final = 0.02
_LIMIT: Final = 1 << 20


class OpaEngine:
    """Asks one OPA.

    ``required`` names the rule packages without which no decision is complete; ``deadline`` is
    the time in seconds that a decision may take. An OPA that cannot be reached is tried again
    until then, so that a restart costs its callers time and nothing else.
    """

    def __init__(self, opa: OpaSettings, required: frozenset[str], deadline: float) -> None:
        if opa.url is None:
            raise EngineSetupError("there is no OPA to ask: opa.url is not set")
        self._url = base_url(opa.url) + _QUERY
        self._required = required
        self._deadline = deadline
        self._session = open_session()
        self._session.headers["Content-Type"] = "application/json"
        if opa.token_file is not None:
            self._session.headers["Authorization"] = f"Bearer {_token(opa)}"
        if opa.ca is not None:
            self._session.verify = str(opa.ca)
        if opa.certificate is not None:
            self._session.cert = (str(opa.certificate), str(opa.key or opa.certificate))

    def decide(self, document: dict[str, Any]) -> Decision:
        answer = self._ask(orjson.dumps({"input": document}))
        try:
            fields = orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise EngineError("OPA's answer is not JSON") from None
        if not isinstance(fields, dict) or "result" not in fields:
            raise EngineError("OPA has no decision: is the policy loaded?")
        return read_decision(fields["result"], self._required)

    def _ask(self, question: bytes) -> bytes:
        end = time.monotonic() + self._deadline
        while True:
            try:
                return self._ask_once(question, end)
            except requests.Timeout:
                raise EngineError(f"OPA did not answer within {self._deadline:g} s") from None
            except requests.ConnectionError:
                if time.monotonic() + _RETRY_EVERY >= end:
                    raise EngineError("OPA cannot be reached") from None
                time.sleep(_RETRY_EVERY)
            except requests.RequestException as error:
                raise EngineError(f"OPA cannot be asked: {type(error).__name__}") from error

    def _ask_once(self, question: bytes, end: float) -> bytes:
        left = max(end - time.monotonic(), 0.001)
        with self._session.post(
            self._url, data=question, timeout=left, stream=True, allow_redirects=False
        ) as response:
            answer = b""
            for chunk in response.iter_content(1 << 16):
                answer += chunk
                if len(answer) > _LIMIT:
                    raise EngineError("OPA's answer is too large to be a decision")
                if time.monotonic() > end:
                    raise EngineError(f"OPA did not answer within {self._deadline:g} s")
            if response.status_code != requests.codes.ok:
                raise EngineError(_complaint(response.status_code, answer))
            return answer


def _token(opa: OpaSettings) -> str:
    try:
        return str(opa.token_file and opa.token_file.read_text().strip())
    except OSError as error:
        raise EngineSetupError(f"opa.token_file cannot be read: {error}") from error


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
