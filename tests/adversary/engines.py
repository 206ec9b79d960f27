"""An engine with one role for each shipped profile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from authz_plugin import policy
from authz_plugin.engine import Engine, binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from tests.adversary.campaign import roles
from tests.conftest import with_policy
from tests.ledger.requests import HOST

_DEADLINE: Final = 10.0


@contextmanager
def profiles_engine(profiles: Iterable[str]) -> Iterator[Engine]:
    """Run an OPA that decides by a profile for callers with the name of that profile."""
    settings = with_policy(profile="closed", roles=roles(profiles))
    opa = binary.find()
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        config = policy.configuration(settings, HOST)
        started = child.start(
            opa, policy.assemble(Path(folder) / "bundle", config, None, opa).folder
        )
        try:
            url = OpaAddress(url=f"unix:{started.socket}")
            with closing(OpaEngine(url, policy.shipped_rules(), _DEADLINE)) as engine:
                yield engine
        finally:
            started.stop()
