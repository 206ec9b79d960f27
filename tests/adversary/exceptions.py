"""Respellings that are not findings, and rules that are equivalent to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.adversary.requests import Case

Predicate = Callable[[Case], bool]

EQUIVALENT: Final[Mapping[str, frozenset[str]]] = {
    "namespaces.host": frozenset({"namespaces.service-network"}),
    "privileged.container": frozenset({"privileged.exec"}),
    "users.container": frozenset({"users.exec"}),
}
"""By rule, the rules that deny the same in another place of the API."""

EXCEPTIONS: Final[tuple[tuple[Predicate, str], ...]] = ()
"""Predicates for allowed respellings that are not findings, each with the reason."""
