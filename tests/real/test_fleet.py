"""Two guarded dockerds of different releases, whose plugins fetch one policy from a registry."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.fleet.test_fleet import LIST, LIST_VOLUMES, Host, allows, says
from tests.harness.dockerd import Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.front import without_http2
from tests.harness.plugin import Plugin, running_plugin, wait_for
from tests.harness.site import OPEN_VOLUMES, VOLUMES, Site
from tests.real.conftest import guard_with

MINUTE: Final = 60.0


@dataclass(frozen=True)
class Member:
    """A guarded dockerd of the fleet."""

    dockerd: Dockerd
    plugin: Plugin

    def lists_volumes(self) -> bool:
        done = self.dockerd.docker("volume", "ls", check=False)
        assert done.returncode == 0 or "authorization denied" in done.stderr, done.stderr
        return done.returncode == 0


@pytest.fixture
def members(
    tmp_path: Path, site: Site, registry: str, registry_push: tuple[str, str]
) -> Iterator[list[Member]]:
    site.build(*registry_push)
    with ExitStack() as cleanup:

        def member(engine: str) -> Member:
            closed = scratch_dockerd(prepare(engine), environment=without_http2())
            dockerd = cleanup.enter_context(closed)
            name = f"opa-authz-{os.getpid()}-{engine.replace('.', '-')}-fleet"
            rest = {"data_root": str(dockerd.data_root)}
            host = Host(tmp_path / name, site.registry_fleet(registry), rest)
            plugin = running_plugin(
                host.folder,
                f"--config={host.config}",
                socket_=Path(f"/run/docker/plugins/{name}.sock"),
            )
            running = cleanup.enter_context(plugin)
            guard_with(dockerd, name)
            return Member(dockerd, running)

        yield [member("28.5"), member(NEWEST)]


def test_a_push_changes_every_engine_within_a_minute_and_a_tampered_bundle_none(
    site: Site, registry_push: tuple[str, str], members: list[Member]
) -> None:
    assert [member.lists_volumes() for member in members] == [False, False]
    site.write(OPEN_VOLUMES)
    pushed = time.monotonic()
    revision = site.build(*registry_push)["policy_revision"]
    for member in members:
        says(member.plugin, f"from the bundle of revision {revision}", limit=MINUTE)
    assert [member.lists_volumes() for member in members] == [True, True]
    assert time.monotonic() - pushed < MINUTE
    site.write(VOLUMES)
    site.build(*registry_push, key=site.new_key("tamperer"))
    for member in members:
        says(member.plugin, "failed to verify JWT signature", limit=MINUTE)
    assert [member.lists_volumes() for member in members] == [True, True]
    site.build(*registry_push)
    for member in members:
        says(member.plugin, "answers again", limit=MINUTE)
        says(member.plugin, "is in force", times=2, limit=MINUTE)
    assert [member.lists_volumes() for member in members] == [False, False]


def test_a_disk_that_is_full_is_told_and_the_policy_kept_later(
    tmp_path: Path, site: Site, registry: str, registry_push: tuple[str, str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
    try:
        (disk / "filler").write_bytes(b"x" * (1 << 20))
        site.build(*registry_push)
        host = Host(tmp_path / "host", site.registry_fleet(registry))
        host.state = disk / "state"
        host.fleet |= {"folder": str(host.state)}
        host.write()
        with host.running() as plugin:
            says(plugin, "cannot be kept for a restart")
            assert (allows(plugin, LIST), allows(plugin, LIST_VOLUMES)) == (True, False)
            (disk / "filler").unlink()
            wait_for((host.state / "current/policy.json").is_file, "the policy to be kept", 60)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
