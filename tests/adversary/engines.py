"""An engine with one role for each shipped profile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from authz_plugin import policy
from authz_plugin.engine import binary
from tests.adversary.campaign import Engine, roles
from tests.conftest import with_policy
from tests.harness.policy_opa import running_policy_opa
from tests.ledger.requests import HOST


def configuration(profiles: Iterable[str]) -> dict[str, Any]:
    """Return the configuration that decides by a profile for callers with that profile's name."""
    return policy.configuration(with_policy(profile="closed", roles=roles(profiles)), HOST)


@contextmanager
def profiles_engine(profiles: Iterable[str]) -> Iterator[Engine]:
    """Run an OPA that decides by the configuration of profiles."""
    config = configuration(profiles)
    with (
        tempfile.TemporaryDirectory(prefix="opa-authz-") as folder,
        running_policy_opa(binary.find(), Path(folder), config) as running,
        closing(running.engine(config)) as engine,
    ):
        yield engine
