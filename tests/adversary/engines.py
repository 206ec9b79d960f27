"""An engine with one role for each shipped profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from authz_plugin import policy
from tests.adversary.campaign import Engine, roles
from tests.conftest import with_policy
from tests.harness.embedded_policy import embedded_policy
from tests.ledger.requests import HOST


def configuration(profiles: Iterable[str]) -> dict[str, Any]:
    """Return the configuration that decides by a profile for callers with that profile's name."""
    return policy.configuration(with_policy(profile="closed", roles=roles(profiles)), HOST)


@contextmanager
def profiles_engine(profiles: Iterable[str]) -> Iterator[Engine]:
    """Yield an engine that decides by the configuration of profiles."""
    with embedded_policy() as engine:
        yield engine(configuration(profiles))
