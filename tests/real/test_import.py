"""The settings of two proxies, carried over, keep what their documents promise: on a real dockerd.

The promises are those of ``test_seeds``, which the profiles keep; here an import keeps them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.harness.dockerd import IMAGE, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.in_process import run_command
from tests.harness.plugin import running_plugin
from tests.real import test_seeds as promises
from tests.real.conftest import Guarded, guard_with, prepare_content
from tests.tools.importer.settings import DEVELOPMENT, MULTI_TENANT

COMMIT: Final = "docker commit - Committing container changes"
"""Promised by the document and not opened by its own list: ``COMMIT`` is not set there."""

ENGINE: Final = NEWEST


def carry_over(folder: Path, workspace: Path, variables: Mapping[str, str]) -> None:
    """Write the configuration that ``opa-authz import`` makes of a proxy's variables."""
    lines = [f"{name}={value}\n" for name, value in variables.items()]
    if "WORKSPACE_ROOT" in variables:
        lines.append(f"ALLOWED_MOUNT_PATHS={workspace}\n")
    (folder / "proxy.env").write_text("".join(lines))
    words = ["import", "proxy.env", "--output", "config.yaml", "--force"]
    done = run_command(folder, *words)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A dockerd that is guarded with the settings of the first proxy."""
    folder = tmp_path_factory.mktemp("import")
    workspace = folder / "workspace"
    workspace.mkdir()
    carry_over(folder, workspace, DEVELOPMENT)
    name = f"opa-authz-{os.getpid()}-import"
    socket = Path(f"/run/docker/plugins/{name}.sock")
    with ExitStack() as cleanup:
        config = f"--config={folder / 'config.yaml'}"
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(ENGINE)))
        plugin = cleanup.enter_context(
            running_plugin(folder, config, socket_=socket, data_root=dockerd.data_root)
        )
        prepare_content(dockerd)
        guard_with(dockerd, name)
        yield Guarded(dockerd, plugin, name, workspace)


@pytest.fixture(scope="module")
def development(guarded: Guarded) -> Guarded:
    return guarded


@pytest.fixture(scope="module")
def multi_tenant(guarded: Guarded) -> Guarded:
    """The same dockerd, after the settings of the second proxy were taken over."""
    carry_over(guarded.workspace.parent, guarded.workspace, MULTI_TENANT)
    guarded.plugin.reload()
    return guarded


@pytest.mark.parametrize("line", sorted(promises.DEVCONTAINER_ALLOWED.keys() - {COMMIT}))
def test_a_development_container_may(development: Guarded, line: str) -> None:
    promises.DEVCONTAINER_ALLOWED[line](development)


def test_a_development_container_may_not_commit_as_its_list_does_not_say_so(
    development: Guarded,
) -> None:
    assert COMMIT in promises.DEVCONTAINER_ALLOWED
    development.is_denied("commit", "running", "committed", by="sections.operation")


@pytest.mark.parametrize("line", promises.DEVCONTAINER_BLOCKED)
def test_a_development_container_may_not(development: Guarded, line: str) -> None:
    options, rule = promises.DEVCONTAINER_BLOCKED[line]
    development.is_denied("run", "--rm", *options, IMAGE, "true", by=rule)


@pytest.mark.parametrize("line", promises.DEVCONTAINER_SECTIONS_OFF)
def test_a_development_container_has_minimal_sections_open(development: Guarded, line: str) -> None:
    development.is_denied(*promises.DEVCONTAINER_SECTIONS_OFF[line], by="sections.operation")


@pytest.mark.parametrize("line", promises.PRODUCTION_ALLOWED)
def test_a_multi_tenant_service_may(multi_tenant: Guarded, line: str) -> None:
    promises.PRODUCTION_ALLOWED[line](multi_tenant)


@pytest.mark.parametrize(
    "line", [line for line in promises.PRODUCTION_DENIED if not line.startswith("images are")]
)
def test_a_multi_tenant_service_may_not(multi_tenant: Guarded, line: str) -> None:
    multi_tenant.is_denied(*promises.PRODUCTION_DENIED[line], by="sections.operation")


def test_a_multi_tenant_service_makes_no_images(multi_tenant: Guarded) -> None:
    promises.test_production_denies_malicious_image_build(multi_tenant)
    multi_tenant.is_denied("load", text="an archive", by="sections.operation")


@pytest.mark.parametrize("line", promises.PRODUCTION_ATTACKS)
def test_a_multi_tenant_service_is_no_way_out(multi_tenant: Guarded, line: str) -> None:
    options, rule = promises.PRODUCTION_ATTACKS[line]
    multi_tenant.is_denied("run", "--rm", *options, IMAGE, "true", by=rule)
