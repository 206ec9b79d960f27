"""A finding: what was seen, why it matters and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["critical", "warning", "info", "ok"]

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "info", "ok")
"""From worst to best. ``critical``: the guard can be gone round or is not there. ``warning``: mend
it. ``info``: know it. ``ok``: looked at and found in order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``id`` is stable, ``what`` one sentence; ``why`` and ``fix`` are empty where all is well."""

    id: str
    severity: Severity
    what: str
    why: str = ""
    fix: str = ""
