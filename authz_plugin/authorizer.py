"""The steps from a message of dockerd to the answer.

Each step returns a value, or a ``Failure``, after which no later step runs. Every request that the
policies do not allow is denied, except, with ``ping.without_engine``, a ping if the engine fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar

from authz_plugin import dockerd, protocol
from authz_plugin.caller import Caller, read_caller
from authz_plugin.decision import Decision, Denial, denial_message
from authz_plugin.dockerd import CanonicalRequest
from authz_plugin.document import input_document
from authz_plugin.engine import Engine
from authz_plugin.enginestate import EngineState
from authz_plugin.errors import EngineError, Refused, defect
from authz_plugin.hostpaths import HostPaths
from authz_plugin.journal.record import DecisionRecord, Times, decision_record, new_decision_id
from authz_plugin.protocol import Answer, AuthZReq, AuthZRes

Record = Callable[[DecisionRecord, Mapping[str, Any] | None], None]
"""Called with a decision record and the input document that the policies decided on, or None if
there is no decision of the policies."""

_UNKNOWN_OPERATION: Final = "request"
_PING: Final = "system.ping"

_S = TypeVar("_S")
_T = TypeVar("_T")


class _Reading(NamedTuple):
    """A request and its caller."""

    canonical: CanonicalRequest
    caller: Caller


class Failure(NamedTuple):
    """The reason for which a step returned no value.

    ``denials`` deny the request; ``error`` is for the log; ``is_of_engine`` is true if the engine
    gave no decision; ``allow`` is true if the request is allowed nevertheless.
    """

    denials: tuple[Denial, ...]
    error: str = ""
    is_of_engine: bool = False
    allow: bool = False


class Authorizer:
    """Decides requests with an engine.

    ``record`` is called with each decision, ``finish`` with each report of an outcome; ``revoked``
    returns the SHA-256 fingerprints of the revoked certificates; ``audit_block`` returns the denial
    of all requests while decisions must be audited but cannot be, else None.
    ``ping_without_engine`` allows pings while the engine gives no decision; every other request is
    then denied. ``engine_name`` is the engine's name in records.
    """

    def __init__(
        self,
        engine: Engine,
        host_paths: HostPaths,
        engine_state: EngineState,
        record: Record,
        *,
        finish: Callable[[AuthZRes], None] = lambda _: None,
        audit_block: Callable[[], Denial | None] = lambda: None,
        revoked: Callable[[], frozenset[str]] = frozenset,
        ping_without_engine: bool = False,
        engine_name: str = "opa",
    ) -> None:
        self._engine = engine
        self._host_paths = host_paths
        self._engine_state = engine_state
        self._record = record
        self._finish = finish
        self._audit_block = audit_block
        self._revoked = revoked
        self._ping_without_engine = ping_without_engine
        self._engine_name = engine_name

    def authorize(self, message: bytes) -> Answer:
        """Return the answer to a message, the body of an ``/AuthZPlugin.AuthZReq``.

        An exception in a step is a denial. While ``audit_block`` returns a denial, the request is
        still read, so that its denial and its record name the operation and the caller, but the
        engine is not asked.
        """
        decision_id, time, started = new_decision_id(), datetime.now(UTC), perf_counter()
        block = self._audit_block()
        request = _step(protocol.read_request, message)
        reading = _step(self._read, request)
        read_at = perf_counter()
        document = _step(lambda value: self._document(value, time), _unless(block, reading))
        document_at = perf_counter()
        decision = _step(lambda value: self._engine.decide(value, decision_id), document)
        decided_at = perf_counter()
        try:
            result = self._allow_ping(decision, reading)
            record = decision_record(
                decision_id=decision_id,
                time=time,
                started=started,
                request=_value(request),
                canonical=reading.canonical if isinstance(reading, _Reading) else None,
                caller=reading.caller if isinstance(reading, _Reading) else None,
                decision=_value(result),
                allow=result.allow,
                denials=result.denials,
                error=result.error if isinstance(result, Failure) else "",
                engine=self._engine_name if _value(document) is not None else "",
                times=Times(
                    read=read_at - started if _value(reading) is not None else 0.0,
                    document=document_at - read_at if _value(document) is not None else 0.0,
                    engine=decided_at - document_at if _value(document) is not None else 0.0,
                    total=perf_counter() - started,
                ),
            )
        except Exception as error:  # noqa: BLE001 - a decision that cannot be recorded is a denial
            result = Failure((_INTERNAL,), defect(error))
            record = DecisionRecord(
                decision_id, time, denials=result.denials, error=result.error, started=started
            )
        self._record(record, _value(document) if isinstance(result, Decision) else None)
        return _answer(record)

    def acknowledge(self, message: bytes) -> Answer:
        """Return the answer to a message, the body of an ``/AuthZPlugin.AuthZRes``.

        The request was decided before it ran, so every valid report is acknowledged.
        """
        try:
            response = protocol.read_response(message)
        except Refused as refusal:
            return Answer(allow=False, message=str(refusal))
        self._finish(response)
        return Answer(allow=True)

    def _read(self, request: AuthZReq) -> _Reading:
        canonical = dockerd.read(request.method, request.uri, request.headers, request.body)
        return _Reading(canonical, read_caller(request, self._revoked))

    def _document(self, reading: _Reading, time: datetime) -> dict[str, Any]:
        return input_document(
            reading.canonical, reading.caller, self._host_paths, time, self._engine_state
        )

    def _allow_ping(
        self, decision: Decision | Failure, reading: _Reading | Failure
    ) -> Decision | Failure:
        """The result of the engine, or an allowed ping if it failed and settings allow that."""
        if not self._ping_without_engine or isinstance(reading, Failure):
            return decision
        if not isinstance(decision, Failure) or not decision.is_of_engine:
            return decision
        if reading.canonical.operation.id != _PING:
            return decision
        return Failure((), decision.error, is_of_engine=True, allow=True)


def _step(function: Callable[[_S], _T], value: _S | Failure) -> _T | Failure:
    """The result of a step, or the failure of this step or of one before it."""
    if isinstance(value, Failure):
        return value
    try:
        return function(value)
    except Refused as refusal:
        return Failure((Denial.from_refusal(refusal),))
    except EngineError as error:
        denial = Denial(
            "request.engine",
            "",
            None,
            f"the policy engine gave no decision: {error.message}",
            "try again; if it persists, tell the operator of this host",
        )
        return Failure((denial,), str(error), is_of_engine=True)
    except Exception as error:  # noqa: BLE001 - a defect must deny, not crash
        return Failure((_INTERNAL,), defect(error))


def _unless(block: Denial | None, reading: _Reading | Failure) -> _Reading | Failure:
    """The reading, or a failure if the decision could not be audited."""
    if block is None:
        return reading
    if isinstance(reading, Failure):
        return Failure((*reading.denials, block), reading.error)
    return Failure((block,))


def _value(result: _T | Failure) -> _T | None:
    return None if isinstance(result, Failure) else result


def _answer(record: DecisionRecord) -> Answer:
    if record.verdict == "allow":
        return Answer(allow=True)
    operation = record.operation or _UNKNOWN_OPERATION
    message = denial_message(operation, record.denials, record.decision_id)
    return Answer(allow=False, message=message)


_INTERNAL: Final = Denial(
    "request.internal",
    "",
    None,
    "the authorization plugin has a defect",
    "tell the operator of this host, with the decision id",
)
