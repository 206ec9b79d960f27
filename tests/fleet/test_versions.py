"""Two versions of the plugin, side by side, and policies that either of them has built."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from authz_plugin import __version__
from tests.faults.messages import create
from tests.fleet.test_fleet import LIST_VOLUMES, Host, allows, says
from tests.harness.plugin import Plugin
from tests.harness.site import OPEN_VOLUMES, VOLUMES, Site
from tests.test_add_rule import copy_with_a_rule

NEWER: Final = "7.8"
NEW_KEY: Final = 'containers: {hostnames: ["mail"]}\n'


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which ``opa-authz`` is a newer version, with a rule and a key more."""
    copy = copy_with_a_rule(tmp_path_factory.mktemp("newer"))
    version = copy / "authz_plugin/__init__.py"
    version.write_text(version.read_text().replace(__version__, NEWER))
    environment = {"PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", "tests.generate.annotations"]
    subprocess.run(command, cwd=copy, env={**os.environ, **environment}, check=True)
    return environment


@pytest.fixture
def plugins(
    tmp_path: Path, site: Site, registry: str, registry_push: tuple[str, str], newer: dict[str, str]
) -> Iterator[tuple[Plugin, Plugin]]:
    """The plugin of this version and the newer one, with a policy that this version has built."""
    site.build(*registry_push)
    with ExitStack() as cleanup:

        def started(name: str, environment: dict[str, str]) -> Plugin:
            host = Host(tmp_path / name, site.registry_fleet(registry))
            return cleanup.enter_context(host.running(**environment))

        yield started("this", {}), started("newer", newer)


def named(hostname: str) -> dict[str, str]:
    return create(Image="alpine", Hostname=hostname)


def test_a_bundle_serves_every_version_that_knows_what_is_in_it(
    site: Site,
    registry_push: tuple[str, str],
    plugins: tuple[Plugin, Plugin],
    newer: dict[str, str],
) -> None:
    this, other = plugins
    assert f'"version":"{__version__}"' in this.log
    assert f'"version":"{NEWER}"' in other.log
    assert [allows(plugin, LIST_VOLUMES) for plugin in plugins] == [False, False]
    assert [allows(plugin, named("mail")) for plugin in plugins] == [True, False]

    site.environment = newer
    site.write(OPEN_VOLUMES)
    built = site.build(*registry_push)["policy_revision"]
    for plugin in plugins:
        says(plugin, f"from the bundle of revision {built}")
    assert [allows(plugin, LIST_VOLUMES) for plugin in plugins] == [True, True]

    site.write(VOLUMES, rest=NEW_KEY)
    built = site.build(*registry_push)["policy_revision"]
    says(other, f"from the bundle of revision {built}")
    assert (allows(other, LIST_VOLUMES), allows(other, named("mail"))) == (False, True)
    says(this, "the fetched policy is refused")
    refusal = this.log.splitlines()[-1]
    assert "containers.hostnames: no such key" in refusal
    assert f"built with opa-authz {NEWER}, and this is {__version__}: update this host" in refusal
    assert allows(this, LIST_VOLUMES), "the policy before stays"

    site.write(VOLUMES)
    built = site.build(*registry_push, f"--at-least={NEWER}")["policy_revision"]
    says(other, f"from the bundle of revision {built}")
    says(this, f"the bundle needs opa-authz {NEWER}, and this is {__version__}: update it")
    assert allows(this, LIST_VOLUMES)

    site.environment = {}
    built = site.build(*registry_push)["policy_revision"]
    for plugin in plugins:
        says(plugin, f"from the bundle of revision {built}")
    assert [allows(plugin, LIST_VOLUMES) for plugin in plugins] == [False, False]
