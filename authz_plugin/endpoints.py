"""What is answered at the endpoints that dockerd calls, whatever receives the messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from authz_plugin.authorizer import Authorizer
from authz_plugin.protocol import ACTIVATION, Answer

AUTHZ_MESSAGE_LIMIT: Final = 24 << 20
"""The maximum length of a message, in bytes. dockerd sends bodies of up to 4 MiB, in base64; a
report of an outcome contains two."""

ACTIVATE: Final = "/Plugin.Activate"
REQUEST: Final = "/AuthZPlugin.AuthZReq"
RESPONSE: Final = "/AuthZPlugin.AuthZRes"

_log: Final = logging.getLogger("opa-authz")


class Endpoints:
    """The answers of an authorizer. No method raises an exception.

    ``answered`` is called after each report of an outcome, with the seconds that its answer took.
    """

    def __init__(
        self, authorizer: Authorizer, answered: Callable[[float], None] = lambda _: None
    ) -> None:
        self._authorizer = authorizer
        self._answered = answered
        self.answers: Mapping[str, Callable[[bytes], bytes]] = {
            ACTIVATE: lambda _: ACTIVATION,
            REQUEST: self.authorize,
            RESPONSE: self.acknowledge,
        }

    def authorize(self, message: bytes) -> bytes:
        """The answer to an AuthZReq."""
        try:
            return self._authorizer.authorize(message).to_bytes()
        except Exception as error:  # noqa: BLE001 - a defect must deny, not crash
            return self.fail(error)

    def acknowledge(self, message: bytes) -> bytes:
        """The answer to an AuthZRes."""
        started = time.perf_counter()
        try:
            answer = self._authorizer.acknowledge(message).to_bytes()
        except Exception as error:  # noqa: BLE001 - a defect must deny, not crash
            answer = self.fail(error)
        self._answered(time.perf_counter() - started)
        return answer

    def fail(self, error: Exception) -> bytes:
        """The answer to a message that was not answered because of an exception."""
        _log.error("%s while answering a message", type(error).__name__)
        answer = Answer(allow=False, message="opa-authz could not answer this message")
        return answer.to_bytes()
