"""The decision record: one request and what became of it, without its secrets.

Owns the names of the fields and what they may hold. Bodies, query values and header values, where
credentials, environment variables and build arguments live, are never part of a record; what a
denial says of them goes through ``masking``.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Final, Literal

from authz_plugin.caller import Caller
from authz_plugin.decision import Decision, Denial
from authz_plugin.dockerd import CanonicalRequest
from authz_plugin.journal.masking import masked, masked_text
from authz_plugin.protocol import AuthZReq

Verdict = Literal["allow", "deny"]

RequestKey = tuple[str, str, str, int]
"""What dockerd sends again when a request is over: method, target, user, a hash of the body."""

SOURCE: Final = "opa-authz"

_FORBIDDEN: Final = 403


def new_decision_id() -> str:
    """An id that a person can read out: it stands in the denial, the log and the audit file."""
    return secrets.token_hex(8)


def request_key(request: AuthZReq) -> RequestKey:
    """By what a report of an outcome is matched with its decision."""
    return request.method, request.uri, request.user, hash(request.body)


@dataclass(slots=True)
class DecisionRecord:
    """Filled step by step while a request is decided.

    What becomes of denials in a log is rules, fields and texts, not values; ``error`` says what
    went wrong, where something did. ``started`` and the times derived from it are in seconds; a
    step that was not reached took none. ``document`` is what the policies decided on, until it is
    taken.
    """

    decision_id: str
    time: datetime
    verdict: Verdict = "deny"
    user: str = ""
    authentication: str = ""
    certificate: str = ""
    method: str = ""
    operation: str = ""
    access: str = ""
    resource: str | None = None
    privileged: bool = False
    role: str = ""
    denials: list[Denial] = field(default_factory=list)
    warnings: list[Denial] = field(default_factory=list)
    by_policy: bool = False
    profile: str = ""
    policy_revision: str = ""
    engine: str = ""
    read_time: float = 0.0
    document_time: float = 0.0
    engine_time: float = 0.0
    duration: float = 0.0
    error: str = ""
    key: RequestKey | None = None
    identical: bool = False
    started: float = field(default_factory=perf_counter)
    document: Mapping[str, Any] | None = None

    @classmethod
    def begin(cls) -> DecisionRecord:
        """The record of a request that has just come in."""
        return cls(new_decision_id(), datetime.now(UTC))

    def is_from(self, request: AuthZReq) -> None:
        """Note who asks."""
        self.user, self.authentication = request.user, request.user_authn_method
        self.method, self.key = request.method, request_key(request)

    def reads_as(self, request: CanonicalRequest, caller: Caller) -> None:
        """Note what is asked for."""
        self.operation, self.access = request.operation.id, request.operation.access
        self.resource = request.ref
        self.privileged = _is_privileged(request)
        if caller.certificates:
            self.certificate = caller.certificates[0].sha256
        self.read_time = perf_counter() - self.started

    def asks(self, engine: str) -> None:
        """Note that the input document is made and an engine is asked."""
        self.engine = engine
        self.document_time = perf_counter() - self.started - self.read_time

    def decided(self, decision: Decision, document: Mapping[str, Any] | None = None) -> None:
        """Note what the policies say, of which input document."""
        self._engine_is_done()
        self.by_policy, self.document = True, document
        self.profile, self.policy_revision = decision.profile, decision.policy_revision
        self.role = decision.role
        self.denials.extend(map(masked, decision.denials))
        self.warnings.extend(map(masked, decision.warnings))
        self.verdict = "allow" if decision.allow else "deny"

    def refuse(self, denial: Denial) -> None:
        """Note that the plugin itself denies."""
        self._engine_is_done()
        self.denials.append(masked(denial))
        self.verdict = "deny"

    def pass_without_engine(self) -> None:
        """Note that this is allowed although the engine is down."""
        self._engine_is_done()
        self.verdict = "allow"

    def close(self) -> None:
        """Note that the answer is about to be sent."""
        self.duration = perf_counter() - self.started

    def take_document(self) -> Mapping[str, Any] | None:
        """The input document, once: a record is kept for longer than a document should be."""
        document, self.document = self.document, None
        return document

    def to_document(self) -> dict[str, Any]:
        """The record as log and audit file have it.

        ``status`` is what dockerd answers to a denial; what it answers to an allowed request is
        not known yet, and comes with the outcome.
        """
        allowed = self.verdict == "allow"
        return {
            "timestamp": self.time.isoformat(timespec="milliseconds"),
            "source": SOURCE,
            "event": "allowed_operation" if allowed else "blocked_operation",
            "decision_id": self.decision_id,
            "operation": self.operation,
            "status": None if allowed else _FORBIDDEN,
            "client_ip": None,
            "details": "; ".join(denial.message for denial in self.denials or self.warnings),
            "verdict": self.verdict,
            "user": self.user,
            "authentication": self.authentication,
            "certificate": self.certificate,
            "role": self.role,
            "method": self.method,
            "resource": None if self.resource is None else masked_text(self.resource),
            "rules": [_named(denial) for denial in self.denials],
            "warnings": [_named(denial) for denial in self.warnings],
            "profile": self.profile,
            "policy_revision": self.policy_revision,
            "engine": self.engine,
            "engine_ms": _milliseconds(self.engine_time),
            "duration_ms": _milliseconds(self.duration),
            "error": self.error,
        }

    def _engine_is_done(self) -> None:
        if self.engine and not self.engine_time:
            began = self.started + self.read_time + self.document_time
            self.engine_time = perf_counter() - began


@dataclass(frozen=True, slots=True)
class Outcome:
    """What dockerd reports of a request when it is over.

    ``record`` is its decision, or None if no decision is known for it; ``status`` is None where
    dockerd does not say. ``created`` are the ids of what it made, ``elapsed`` the seconds since
    the decision.
    """

    record: DecisionRecord | None
    time: datetime
    user: str
    method: str
    status: int | None
    created: tuple[str, ...] = ()
    elapsed: float | None = None

    def to_document(self) -> dict[str, Any]:
        """The outcome as log and audit file have it."""
        record = self.record
        return {
            "timestamp": self.time.isoformat(timespec="milliseconds"),
            "source": SOURCE,
            "event": "finished_operation",
            "decision_id": None if record is None else record.decision_id,
            "operation": None if record is None else record.operation,
            "status": self.status,
            "client_ip": None,
            "details": self._details(),
            "user": self.user,
            "method": self.method,
            "created": self.created,
            "identical": record is not None and record.identical,
            "elapsed_ms": None if self.elapsed is None else _milliseconds(self.elapsed),
        }

    def _details(self) -> str:
        parts = []
        if self.status is None:
            parts.append("dockerd reports no status for streams and errors")
        if self.record is None:
            parts.append("no decision is known for this request")
        elif self.record.identical:
            parts.append("identical requests ran at the same time: it may be another one's")
        return "; ".join(parts)


def _is_privileged(request: CanonicalRequest) -> bool:
    body = request.body
    if request.operation.id == "container.create":
        return bool(body["HostConfig"]["Privileged"])
    return request.operation.id == "exec.create" and bool(body["Privileged"])


def _named(denial: Denial) -> str:
    return f"{denial.rule} {denial.field}".rstrip()


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
