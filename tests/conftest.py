"""Fixtures that many tests share: a real OPA program, and one that serves a profile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from authz_plugin import policy, settings
from authz_plugin.engine import binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import Key, OpaSettings, Settings

MakeEngine = Callable[..., OpaEngine]

hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")
MakeOpa = Callable[..., Path]


@pytest.fixture(scope="session")
def opa() -> binary.Opa:
    """The OPA program that `make` installed."""
    return binary.find()


@pytest.fixture(scope="session")
def make_opa(opa: binary.Opa) -> Iterator[MakeOpa]:
    """The sockets of real OPAs, one process for each policy configuration."""
    running: dict[str, child.ChildOpa] = {}
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:

        def make(**configuration: Any) -> Path:
            key = repr(configuration)
            if key not in running:
                home = Path(folder) / str(len(running))
                config = policy.configuration(with_policy(**configuration), LocalHostPaths())
                bundle = policy.assemble(home / "bundle", config, None, opa)
                running[key] = child.start(opa, bundle.folder)
            return running[key].socket

        yield make
        for started in running.values():
            started.stop()


@pytest.fixture(scope="session")
def make_engine(make_opa: MakeOpa) -> Iterator[MakeEngine]:
    """Engines with a real OPA behind them."""
    engines: list[OpaEngine] = []

    def make(**configuration: Any) -> OpaEngine:
        opa = OpaSettings(url=f"unix:{make_opa(**configuration)}")
        engines.append(OpaEngine(opa, policy.shipped_rules(), deadline=5))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def every_profile(make_engine: MakeEngine) -> OpaEngine:
    """An engine that decides for callers of a profile's name by that profile, for all others by
    ``closed``."""
    roles = {
        name: {"callers": [{"user": name}], "profile": name}
        for name in policy.profiles()
        if name != "closed"
    }
    return make_engine(profile="closed", roles=roles)


def with_policy(**configuration: Any) -> Settings:
    """Settings that hold a policy configuration and defaults otherwise."""
    flags: dict[Key, Any] = {(name,): value for name, value in configuration.items()}
    return settings.load(flags | {("config",): "/dev/null"}, {}, policy.config_schema())
