"""One request, from dockerd's message to the answer: the table of contents of this product.

Fail closed: whatever is not an allow of the policies is a denial, and the only ``except Exception``
of the product stands here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from authz_plugin import dockerd, protocol
from authz_plugin.caller import read_caller
from authz_plugin.decision import Denial, denial_message
from authz_plugin.document import input_document
from authz_plugin.engine import Engine
from authz_plugin.errors import EngineError, Refused
from authz_plugin.hostpaths import HostPaths
from authz_plugin.journal.record import DecisionRecord, new_decision_id
from authz_plugin.protocol import Answer

_UNKNOWN_OPERATION: Final = "request"


class Authorizer:
    """Decides requests with an engine.

    ``record`` is given every decision record. ``ping_without_engine`` lets pings pass while the
    engine is down; nothing else ever does.
    """

    def __init__(
        self,
        engine: Engine,
        host_paths: HostPaths,
        record: Callable[[DecisionRecord], None],
        *,
        ping_without_engine: bool = False,
    ) -> None:
        self._engine = engine
        self._host_paths = host_paths
        self._record = record
        self._ping_without_engine = ping_without_engine

    def authorize(self, message: bytes) -> Answer:
        """Answer the body of an ``/AuthZPlugin.AuthZReq``; never raises."""
        record = DecisionRecord(new_decision_id(), datetime.now(UTC))
        started = time.perf_counter()
        try:
            self._decide(message, record)
        except Refused as refusal:
            record.denials.append(Denial.from_refusal(refusal))
        except EngineError as error:
            self._without_engine(record, error)
        except Exception as error:  # noqa: BLE001 - a defect must deny, not crash
            record.error = f"{type(error).__name__} at {_origin(error)}"
            record.denials.append(_INTERNAL)
        if record.denials:
            record.verdict = "deny"
        record.duration = time.perf_counter() - started
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
            protocol.read_response(message)
        except Refused as refusal:
            return Answer(allow=False, message=str(refusal))
        return Answer(allow=True)

    def _decide(self, message: bytes, record: DecisionRecord) -> None:
        request = protocol.read_request(message)
        record.user, record.method = request.user, request.method
        canonical = dockerd.read(request.method, request.uri, request.headers, request.body)
        record.operation, record.resource = canonical.operation.id, canonical.ref
        caller = read_caller(request)
        document = input_document(canonical, caller, self._host_paths, record.time)
        decision = self._engine.decide(document)
        record.profile, record.policy_revision = decision.profile, decision.policy_revision
        record.denials.extend(decision.denials)
        record.warnings.extend(decision.warnings)
        record.verdict = "allow" if decision.allow else "deny"

    def _without_engine(self, record: DecisionRecord, error: EngineError) -> None:
        record.error = str(error)
        if self._ping_without_engine and record.operation == "system.ping":
            record.verdict = "allow"
            return
        record.denials.append(
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


def _origin(error: Exception) -> str:
    """The innermost place of an exception, as ``module:line``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_globals.get('__name__', 'unknown')}:{trace.tb_lineno}"
