"""The decision record: one request and what became of it, without its secrets.

Owns the names of the fields and what they may hold. Bodies, query values and header values, where
credentials, environment variables and build arguments live, are never part of a record.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from authz_plugin.decision import Denial

Verdict = Literal["allow", "deny"]


def new_decision_id() -> str:
    """An id that a person can read out: it stands in the denial, the log and the audit file."""
    return secrets.token_hex(8)


@dataclass(slots=True)
class DecisionRecord:
    """Filled step by step while a request is decided; ``duration`` is in seconds.

    ``denials`` hold rule ids and fields, not values; ``error`` says what went wrong, where
    something did.
    """

    decision_id: str
    time: datetime
    verdict: Verdict = "deny"
    user: str = ""
    method: str = ""
    operation: str = ""
    resource: str | None = None
    denials: list[Denial] = field(default_factory=list)
    warnings: list[Denial] = field(default_factory=list)
    profile: str = ""
    policy_revision: str = ""
    duration: float = 0.0
    error: str = ""

    def to_document(self) -> dict[str, Any]:
        """The record as the log has it."""
        return {
            "timestamp": self.time.isoformat(timespec="milliseconds"),
            "source": "opa-authz",
            "event": "allowed_operation" if self.verdict == "allow" else "blocked_operation",
            "decision_id": self.decision_id,
            "operation": self.operation,
            "verdict": self.verdict,
            "status": 200 if self.verdict == "allow" else 403,
            "user": self.user,
            "method": self.method,
            "resource": self.resource,
            "rules": [_named(denial) for denial in self.denials],
            "warnings": [_named(denial) for denial in self.warnings],
            "details": "; ".join(denial.message for denial in self.denials),
            "profile": self.profile,
            "policy_revision": self.policy_revision,
            "duration_ms": round(self.duration * 1000, 3),
            "error": self.error,
        }


def _named(denial: Denial) -> str:
    return f"{denial.rule} {denial.field}".rstrip()
