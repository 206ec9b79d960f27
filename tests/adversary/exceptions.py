"""Respellings that a profile may allow, each with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.adversary.requests import Passed

Excepts = Callable[[Passed], bool]

EQUIVALENT: Final[Mapping[str, frozenset[str]]] = {
    "namespaces.host": frozenset({"namespaces.service-network"}),
    "privileged.container": frozenset({"privileged.exec"}),
    "users.container": frozenset({"users.exec"}),
}
"""Which rule judges elsewhere what a rule judges in its place."""

EXCEPTIONS: Final[tuple[tuple[Excepts, str], ...]] = ()
"""Which allowed respellings are no finding, and why."""
