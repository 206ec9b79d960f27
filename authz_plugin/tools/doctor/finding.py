"""A finding: the result of one check of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["critical", "warning", "info", "ok"]

SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "info", "ok")
"""From worst to best. ``critical``: authorization is not enforced or can be bypassed. ``warning``:
to be corrected. ``info``: to be known. ``ok``: checked, no problem."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    ``id`` does not change between releases. ``what`` says in one sentence what was found. ``why``
    says why it matters and ``fix`` what to do; both are empty if the severity is ``ok``.
    """

    id: str
    severity: Severity
    what: str
    why: str = ""
    fix: str = ""
