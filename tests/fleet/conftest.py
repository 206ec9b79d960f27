"""Fixtures of a site and its registry, for plugins that fetch their policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.bundle_services import running_registry
from tests.harness.site import VOLUMES, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "site")
    made.write(VOLUMES)
    return made


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a running registry."""
    with running_registry(tmp_path / "registry") as address:
        yield address


@pytest.fixture
def registry_push(registry: str) -> tuple[str, str]:
    """The options of ``Site.build`` that push to the registry, where ``Site.registry_fleet`` has
    hosts fetch."""
    return f"--push=oci://{registry}/docker-policy:build", "--plain-http"
