"""Builds on Docker 29, with its real clients: denied by the plugin, or allowed as a whole.

The clients use the endpoints that are upgraded from HTTP/1 (``/grpc``, ``/session``), about which
dockerd asks plugins, whether it also serves gRPC natively or, with ``GODEBUG=http2server=0``, not.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.corpus.clients import BAKED, BUILDERS, BUILT, Workspace
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, cli_plugins, prepare
from tests.harness.plugin import Plugin, running_plugin
from tests.real.conftest import guard_with, prepare_content

DEVCONTAINER: Final = "profile: devcontainer\n"
BUILD_ALONE: Final = "profile: closed\noperations: {image.build: allow}\n"
NO_BUILDS: Final = "profile: devcontainer\nsections: {build: none}\n"
SESSION_ALONE: Final = "profile: devcontainer\nsections: {session: write}\n"
GRPC_ALONE: Final = "profile: devcontainer\nsections: {grpc: write}\n"
BOTH: Final = "profile: devcontainer\nsections: {session: write, grpc: write}\n"

BUILDS: Final = (
    "buildx build --tag=made app",
    "build --tag=made app",
    "buildx bake --file=docker-bake.hcl",
    "compose --file=built.yaml build",
)
LOOKS: Final = (
    "buildx du",
    "buildx history ls",
    "buildx prune --force",
    "builder prune --force",
)
CONTAINER_IMAGE: Final = "moby/buildkit:buildx-stable-1"
"""Buildx makes a privileged container with another BuildKit of it if ``/grpc`` is closed."""
MADE: Final = ("made", "baked", "composed")


@dataclass(frozen=True)
class Host:
    """A guarded dockerd and a folder with something to build."""

    dockerd: Dockerd
    plugin: Plugin
    config: Path
    workspace: Workspace

    def follow(self, policy: str) -> None:
        """Have the plugin decide by another policy from now on."""
        self.config.write_text(
            f"{policy}log: {{level: debug}}\ndata_root: {self.dockerd.data_root}\n"
        )
        self.plugin.reload()

    def run(self, line: str, *, legacy: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the Docker CLI in the folder, with Compose and Buildx or with the old builder."""
        environment = self.dockerd.client_environment(plugins=None if legacy else cli_plugins())
        return subprocess.run(
            [self.dockerd.engine.docker, *line.split()],
            cwd=self.workspace.folder,
            env={
                **os.environ,
                **environment,
                **({"DOCKER_BUILDKIT": "0"} if legacy else {}),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def denials(self, line: str, *, legacy: bool = False) -> set[tuple[str, str]]:
        """Run what must fail; the operations that were denied for it, and the rules."""
        before = len(self.records())
        done = self.run(line, legacy=legacy)
        assert done.returncode != 0, f"{line}: {done.stdout}{done.stderr}"
        return {
            (record["operation"], rule.split()[0])
            for record in self.records()[before:]
            for rule in record.get("rules", [])
        }

    def records(self) -> list[dict[str, Any]]:
        """The plugin's records, when it writes no more of them."""
        records: list[dict[str, Any]] = []
        while records != (newer := self.plugin.records()):
            records = newer
            time.sleep(0.3)
        return records

    def images(self) -> set[str]:
        """The images that the commands of this file would make, and that are there."""
        self.follow(DEVCONTAINER)
        listed = self.dockerd.docker("images", "--format={{.Repository}}").stdout.split()
        return set(listed) & set(MADE)


@contextmanager
def guarded(environment: dict[str, str]) -> Iterator[Host]:
    """A guarded dockerd with variables in its environment."""
    engine = prepare(NEWEST)
    engine = replace(engine, environment=engine.environment | environment)
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-")))
        dockerd = cleanup.enter_context(scratch_dockerd(engine))
        config = folder / "config.yaml"
        config.write_text(
            f"profile: closed\nlog: {{level: debug}}\ndata_root: {dockerd.data_root}\n"
        )
        name = f"opa-authz-{os.getpid()}-buildkit-{len(environment)}"
        path = Path(f"/run/docker/plugins/{name}.sock")
        plugin = cleanup.enter_context(running_plugin(folder, f"--config={config}", socket_=path))
        prepare_content(dockerd)
        dockerd.docker("tag", IMAGE, CONTAINER_IMAGE)
        guard_with(dockerd, name)
        workspace = Workspace(dockerd, folder)
        workspace.write_app()
        (folder / "docker-bake.hcl").write_text(BAKED)
        (folder / "built.yaml").write_text(BUILT)
        yield Host(dockerd, plugin, config, workspace)


@pytest.fixture(scope="module", params=[{}, {"GODEBUG": "http2server=0"}], ids=["h2c", "http1"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A dockerd that serves gRPC natively, and one that does not."""
    with guarded(request.param) as made:
        yield made


def test_one_of_these_daemons_serves_http2_without_an_upgrade(
    host: Host, request: pytest.FixtureRequest
) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(host.dockerd.socket))
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        answer = connection.recv(9)
    natively = "h2c" in request.node.name
    assert answer.startswith(b"HTTP/1.1") is not natively
    assert (answer[3:4] == bytes([4])) is natively


@pytest.fixture(scope="module")
def denied(host: Host) -> dict[str, set[tuple[str, str]]]:
    """What is denied of each command under ``devcontainer``."""
    host.follow(DEVCONTAINER)
    return {line: host.denials(line) for line in (*BUILDS, *LOOKS)}


def test_nobody_uses_buildkit_in_a_development_container(
    host: Host, denied: dict[str, set[tuple[str, str]]]
) -> None:
    for line in (*BUILDS, *LOOKS):
        assert ("build.grpc", "sections.operation") in denied[line], line
    assert host.images() == set()


@pytest.mark.parametrize(
    "policy",
    [BUILD_ALONE, NO_BUILDS, SESSION_ALONE],
    ids=["image.build alone", "no builds", "session alone"],
)
def test_nobody_uses_buildkit_where_its_grpc_is_closed(host: Host, policy: str) -> None:
    """One command of each client and of each kind: all begin with the same request to ``/grpc``,
    which they send whatever the policy is."""
    host.follow(policy)
    for line in (BUILDS[0], BUILDS[-1], LOOKS[0]):
        assert ("build.grpc", "sections.operation") in host.denials(line), line
    assert host.images() == set()


def test_the_container_with_another_buildkit_is_denied_because_it_is_privileged(
    host: Host, denied: dict[str, set[tuple[str, str]]]
) -> None:
    for line in BUILDS:
        assert ("container.create", "privileged.container") in denied[line], line
    host.follow(DEVCONTAINER)
    names = host.dockerd.docker("ps", "--all", "--format={{.Names}}").stdout.split()
    assert names == ["running"]
    assert host.images() == set()


def test_nobody_builds_where_sessions_are_closed(host: Host) -> None:
    host.follow(GRPC_ALONE)
    for line in BUILDS:
        assert host.denials(line) == {("build.session", "sections.operation")}, line
    assert host.images() == set()


def test_the_legacy_builder_is_denied_where_builds_are(host: Host) -> None:
    host.follow(NO_BUILDS)
    for line, operation in (
        ("build --tag=made app", "image.build"),
        ("builder prune --force", "build.prune"),
    ):
        assert host.denials(line, legacy=True) == {(operation, "sections.operation")}
    assert host.images() == set()


@pytest.mark.parametrize(
    "policy", [DEVCONTAINER, BUILD_ALONE], ids=["devcontainer", "image.build alone"]
)
def test_the_legacy_builder_works_where_it_is_open(host: Host, policy: str) -> None:
    host.follow(policy)
    done = host.run("build --tag=made app", legacy=True)
    assert done.returncode == 0, done.stderr
    assert host.images() == {"made"}
    host.workspace.cli("image rm made")


@pytest.mark.parametrize("client", BUILDERS)
def test_buildkit_works_where_both_are_open(host: Host, client: str) -> None:
    host.follow(BOTH)
    before = len(host.records())
    BUILDERS[client](Workspace(host.dockerd, host.workspace.folder))
    allowed = {record["operation"] for record in host.records()[before:]}
    assert {"build.grpc", "build.session"} <= allowed
