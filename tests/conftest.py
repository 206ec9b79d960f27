"""Fixtures that many tests share: a real OPA program, and one that serves a profile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy, settings
from authz_plugin.engine import binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import Key, OpaSettings, Settings

MakeEngine = Callable[..., OpaEngine]


@pytest.fixture(scope="session")
def opa() -> binary.Opa:
    """The OPA program that `make` installed."""
    return binary.find()


@pytest.fixture(scope="session")
def make_engine(opa: binary.Opa) -> Iterator[MakeEngine]:
    """Engines with a real OPA behind them, one process for each policy configuration."""
    running: dict[str, child.ChildOpa] = {}
    engines: list[OpaEngine] = []
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:

        def make(**configuration: Any) -> OpaEngine:
            key = repr(configuration)
            if key not in running:
                home = Path(folder) / str(len(running))
                config = policy.configuration(with_policy(**configuration), LocalHostPaths())
                bundle = policy.assemble(home / "bundle", config, None, opa)
                running[key] = child.start(opa, bundle)
            url = f"unix:{running[key].socket}"
            engines.append(OpaEngine(OpaSettings(url=url), policy.shipped_rules(), deadline=5))
            return engines[-1]

        yield make
        for engine in engines:
            engine.close()
        for started in running.values():
            started.stop()


def with_policy(**configuration: Any) -> Settings:
    """Settings that hold a policy configuration and defaults otherwise."""
    flags: dict[Key, Any] = {(name,): value for name, value in configuration.items()}
    return settings.load(flags | {("config",): "/dev/null"}, {}, policy.config_schema())
