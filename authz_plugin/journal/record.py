"""The decision record: one request, the decision on it and its outcome, without secrets.

This module defines the fields of the log and of the audit file. A record has no body, query values
or header values, because these can contain credentials, environment variables and build arguments.
``masking`` removes secrets from the messages of denials, which may quote them.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from authz_plugin.caller import Caller
from authz_plugin.decision import Decision, Denial, UsedException
from authz_plugin.dockerd import CanonicalRequest
from authz_plugin.journal.masking import masked, masked_text
from authz_plugin.journal.own_tools import tool_of
from authz_plugin.protocol import AuthZReq

Verdict = Literal["allow", "deny"]

RequestKey = tuple[str, str, str, int]
"""Method, target, user and a hash of the body: dockerd sends these again with the outcome."""

SOURCE: Final = "opa-authz"

_FORBIDDEN: Final = 403


def new_decision_id() -> str:
    """A new random id of 16 hexadecimal digits, for the denial, the log and the audit file."""
    return secrets.token_hex(8)


def request_key(request: AuthZReq) -> RequestKey:
    """The key that a request and the report of its outcome have in common."""
    return request.method, request.uri, request.user, hash(request.body)


class Times(NamedTuple):
    """Durations of the steps of a decision in seconds; 0 for a step that returned no value.

    ``read`` is for reading request and caller, ``document`` for making the input document,
    ``engine`` for the engine's decision, ``total`` from the arrival of the message to the record.
    """

    read: float = 0.0
    document: float = 0.0
    engine: float = 0.0
    total: float = 0.0


class DecisionRecord(NamedTuple):
    """One request and the decision on it; see ``decision_record``.

    ``certificate`` is the SHA-256 fingerprint of the caller's certificate in hex; ``by_policy`` is
    true if the policies decided; ``engine`` names the engine that was asked, and is empty if none
    was; ``error`` is the reason if the engine or the plugin failed; ``tool`` is this project's tool
    that the request names, if no policy decided, so that no input document names it; ``key`` is
    used to find the decision when dockerd reports the outcome; ``started`` is the
    ``time.perf_counter`` at which the message arrived. Fields whose value is not known are empty.
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
    denials: tuple[Denial, ...] = ()
    warnings: tuple[Denial, ...] = ()
    exceptions: tuple[UsedException, ...] = ()
    by_policy: bool = False
    profile: str = ""
    policy_revision: str = ""
    engine: str = ""
    times: Times = Times()
    error: str = ""
    tool: str = ""
    key: RequestKey | None = None
    started: float = 0.0

    def to_document(self) -> dict[str, Any]:
        """The fields of the record in the log and in the audit file.

        ``status`` is 403 for a denial, the status with which dockerd answers it, and None for an
        allowed request, whose status is part of the outcome.
        """
        allowed = self.verdict == "allow"
        return {
            "timestamp": self.time.isoformat(timespec="milliseconds"),
            "source": SOURCE,
            "event": "allowed_operation" if allowed else "blocked_operation",
            "decision_id": self.decision_id,
            "operation": self.operation,
            "status": None if allowed else _FORBIDDEN,
            "details": "; ".join(map(_told, self.denials or self.warnings)),
            "verdict": self.verdict,
            "user": self.user,
            "authentication": self.authentication,
            "certificate": self.certificate,
            "role": self.role,
            "method": self.method,
            "resource": None if self.resource is None else masked_text(self.resource),
            "rules": [_named(denial) for denial in self.denials],
            "warnings": [_named(denial) for denial in self.warnings],
            "exceptions": [_excepted(used) for used in self.exceptions],
            "profile": self.profile,
            "policy_revision": self.policy_revision,
            "engine": self.engine,
            "engine_ms": _milliseconds(self.times.engine),
            "duration_ms": _milliseconds(self.times.total),
            "error": self.error,
            **({"tool": self.tool} if self.tool else {}),
        }


def decision_record(
    *,
    decision_id: str,
    time: datetime,
    started: float,
    request: AuthZReq | None,
    canonical: CanonicalRequest | None,
    caller: Caller | None,
    decision: Decision | None,
    allow: bool,
    denials: tuple[Denial, ...],
    error: str,
    engine: str,
    times: Times,
) -> DecisionRecord:
    """The record of a request, from the results of the steps of its decision.

    ``request``, ``canonical``, ``caller`` and ``decision`` are None if their step failed or did not
    run; ``denials`` are those of the policies or of the plugin; a request that has any is denied,
    regardless of ``allow``. Secrets in the messages of denials and warnings are masked.
    """
    certificates = () if caller is None else caller.certificates
    return DecisionRecord(
        decision_id=decision_id,
        time=time,
        verdict="allow" if allow and not denials else "deny",
        user="" if request is None else request.user,
        authentication="" if request is None else request.user_authn_method,
        certificate=certificates[0].sha256 if certificates else "",
        method="" if request is None else request.method,
        operation="" if canonical is None else canonical.operation.id,
        access="" if canonical is None else canonical.operation.access,
        resource=None if canonical is None else canonical.ref,
        privileged=canonical is not None and _is_privileged(canonical),
        role="" if decision is None else decision.role,
        denials=tuple(map(masked, denials)),
        warnings=() if decision is None else tuple(map(masked, decision.warnings)),
        exceptions=() if decision is None else decision.exceptions,
        by_policy=decision is not None,
        profile="" if decision is None else decision.profile,
        policy_revision="" if decision is None else decision.policy_revision,
        engine=engine,
        times=times,
        error=error,
        tool="" if request is None or decision else tool_of(request.headers.get("user-agent", "")),
        key=None if request is None else request_key(request),
        started=started,
    )


class Outcome(NamedTuple):
    """The outcome of a request that dockerd reports when the request has ended.

    ``record`` is the decision, or None if none is known; ``status`` is the HTTP status, or None if
    dockerd reports none; ``created`` are the ids of the created objects; ``elapsed`` is the seconds
    since the request's message arrived. ``identical`` is true if the same request was pending more
    than once, so that ``record`` may be the decision on another one of them.
    """

    record: DecisionRecord | None
    time: datetime
    user: str
    method: str
    status: int | None
    created: tuple[str, ...] = ()
    elapsed: float | None = None
    identical: bool = False

    def to_document(self) -> dict[str, Any]:
        """The fields of the outcome in the log and in the audit file."""
        record = self.record
        return {
            "timestamp": self.time.isoformat(timespec="milliseconds"),
            "source": SOURCE,
            "event": "finished_operation",
            "decision_id": None if record is None else record.decision_id,
            "operation": None if record is None else record.operation,
            "status": self.status,
            "details": self._details(),
            "user": self.user,
            "method": self.method,
            "created": self.created,
            "identical": self.identical,
            "elapsed_ms": None if self.elapsed is None else _milliseconds(self.elapsed),
        }

    def _details(self) -> str:
        parts = []
        if self.status is None:
            parts.append("dockerd reports no status for streams and errors")
        if self.record is None:
            parts.append("no decision is known for this request")
        elif self.identical:
            parts.append("identical requests ran at the same time: it may be another one's")
        return "; ".join(parts)


def _is_privileged(request: CanonicalRequest) -> bool:
    body = request.body
    if request.operation.id == "container.create":
        return bool(body["HostConfig"]["Privileged"])
    return request.operation.id == "exec.create" and bool(body["Privileged"])


def _told(denial: Denial) -> str:
    """What the operator is told about a denial."""
    return f"{denial.message} ({denial.detail})" if denial.detail else denial.message


def _named(denial: Denial) -> str:
    return f"{denial.rule} {denial.field}".rstrip()


def _excepted(used: UsedException) -> dict[str, str]:
    return {
        "rule": used.rule,
        "field": masked_text(used.field),
        "expires": used.expires,
        "reason": masked_text(used.reason),
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
