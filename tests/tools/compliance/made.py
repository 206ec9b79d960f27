"""A validation and an examination as they would be of a host that does what its policy says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from authz_plugin.tools.compliance.configured import expectations
from authz_plugin.tools.doctor.examination import Examination
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.sandbox import Sandbox
from authz_plugin.tools.validation.checks import GROUPS, Result
from authz_plugin.tools.validation.report import Report

TIME = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)


def validation(sandbox: Sandbox, **changes: Any) -> Report:
    """All checks that try a request, passed."""
    results = []
    for id_, expected in expectations(sandbox.config).items():
        verdict = "allowed" if expected.allowed else "denied"
        title, group = f"check {id_}", GROUPS[3]
        results.append(Result(id_, group, title, passed=True, expected=verdict, observed=verdict))
    given: dict[str, Any] = {
        "endpoint": "unix:///var/run/docker.sock",
        "engine": "Docker/28.5.2 (linux)",
        "profile": sandbox.bundle.profile,
        "policy_revision": sandbox.bundle.revision,
        "results": results,
        "time": TIME,
    }
    return Report(**given | changes)


def examination(sandbox: Sandbox, *findings: Finding, **changes: Any) -> Examination:
    """An examination with these findings alone."""
    given: dict[str, Any] = {
        "time": TIME,
        "host": "prod-7",
        "endpoint": "unix:///var/run/docker.sock",
        "policy_revision": sandbox.bundle.revision,
        "findings": list(findings),
    }
    return Examination(**given | changes)
