"""An engine in which each shipped profile is a role."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from authz_plugin import policy
from authz_plugin.engine import Engine, binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.settings import OpaSettings
from tests.adversary.campaign import roles
from tests.conftest import with_policy
from tests.ledger.decisions import HOST

_DEADLINE: Final = 10.0


@contextmanager
def profiles_engine(profiles: Iterable[str]) -> Iterator[Engine]:
    """A real OPA that decides for callers of a profile's name by that profile."""
    settings = with_policy(profile="closed", roles=roles(profiles))
    opa = binary.find()
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        config = policy.configuration(settings, HOST)
        started = child.start(
            opa, policy.assemble(Path(folder) / "bundle", config, None, opa).folder
        )
        try:
            url = OpaSettings(url=f"unix:{started.socket}")
            with closing(OpaEngine(url, policy.shipped_rules(), _DEADLINE)) as engine:
                yield engine
        finally:
            started.stop()
