"""One request, from dockerd's message to the answer: the table of contents of this product.

Fail closed: whatever is not an allow of the policies is a denial, and the only ``except Exception``
of the product stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from authz_plugin import dockerd, protocol
from authz_plugin.caller import read_caller
from authz_plugin.decision import Denial, denial_message
from authz_plugin.document import input_document
from authz_plugin.engine import DECISION_ID, Engine
from authz_plugin.enginestate import EngineState
from authz_plugin.errors import EngineError, Refused, defect
from authz_plugin.hostpaths import HostPaths
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.protocol import Answer, AuthZRes

_UNKNOWN_OPERATION: Final = "request"


class Authorizer:
    """Decides requests with an engine.

    ``record`` is given every decision record, ``close`` every report of an outcome; ``revoked``
    gives the fingerprints of certificates that were taken back; ``audit_block`` says why a request
    must not pass unrecorded, where that is so. ``ping_without_engine`` lets pings pass while the
    engine is down; nothing else ever does.
    """

    def __init__(
        self,
        engine: Engine,
        host_paths: HostPaths,
        engine_state: EngineState,
        record: Callable[[DecisionRecord], None],
        *,
        close: Callable[[AuthZRes], None] = lambda _: None,
        audit_block: Callable[[], Denial | None] = lambda: None,
        revoked: Callable[[], frozenset[str]] = frozenset,
        ping_without_engine: bool = False,
    ) -> None:
        self._engine = engine
        self._host_paths = host_paths
        self._engine_state = engine_state
        self._record = record
        self._close = close
        self._hindrance = audit_block
        self._revoked = revoked
        self._ping_without_engine = ping_without_engine

    def authorize(self, message: bytes) -> Answer:
        """Answer the body of an ``/AuthZPlugin.AuthZReq``; never raises."""
        record = DecisionRecord.begin()
        DECISION_ID.set(record.decision_id)
        try:
            self._decide(message, record)
        except Refused as refusal:
            record.refuse(Denial.from_refusal(refusal))
        except EngineError as error:
            self._without_engine(record, error)
        except Exception as error:  # noqa: BLE001 - a defect must deny, not crash
            record.error = defect(error)
            record.refuse(_INTERNAL)
        audit_block = self._hindrance()
        if audit_block is not None:
            record.refuse(audit_block)
        record.close()
        self._record(record)
        if record.verdict == "allow":
            return Answer(allow=True)
        return Answer(
            allow=False,
            message=denial_message(
                record.operation or _UNKNOWN_OPERATION, record.denials, record.decision_id
            ),
        )

    def acknowledge(self, message: bytes) -> Answer:
        """Answer the body of an ``/AuthZPlugin.AuthZRes``; never raises.

        The request was decided before it ran, so a report that is understood is acknowledged.
        """
        try:
            response = protocol.read_response(message)
        except Refused as refusal:
            return Answer(allow=False, message=str(refusal))
        self._close(response)
        return Answer(allow=True)

    def _decide(self, message: bytes, record: DecisionRecord) -> None:
        request = protocol.read_request(message)
        record.is_from(request)
        canonical = dockerd.read(request.method, request.uri, request.headers, request.body)
        caller = read_caller(request, self._revoked)
        record.reads_as(canonical, caller)
        document = input_document(
            canonical, caller, self._host_paths, record.time, self._engine_state
        )
        record.asks("opa")
        record.decided(self._engine.decide(document), document)

    def _without_engine(self, record: DecisionRecord, error: EngineError) -> None:
        record.error = str(error)
        if self._ping_without_engine and record.operation == "system.ping":
            record.pass_without_engine()
            return
        record.refuse(
            Denial(
                "request.engine",
                "",
                None,
                f"the policy engine gave no decision: {error}",
                "try again; if it persists, tell the operator of this host",
            )
        )


_INTERNAL: Final = Denial(
    "request.internal",
    "",
    None,
    "the authorization plugin has a defect",
    "tell the operator of this host, with the decision id",
)
