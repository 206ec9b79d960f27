"""Clients with certificates of ``opa-authz identity``, on a real daemon that listens on TCP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import prepare
from tests.harness.in_process import run_command
from tests.harness.plugin import running_plugin
from tests.harness.prometheus import free_port
from tests.real.conftest import TESTED, guard_with, prepare_content

SETTINGS = """\
profile: production
unmatched_callers: deny
identities: {folder}
roles:
  watcher:
    callers: [{{certificate: {{O: opa-authz, OU: watcher}}}}]
    profile: read-only
  developer:
    callers: [{{certificate: {{O: opa-authz, OU: developer}}}}]
    profile: devcontainer
"""


@dataclass
class Host:
    """A guarded dockerd with TLS on TCP, and the folder of its clients' certificates."""

    dockerd: Dockerd
    port: int
    identities: Path

    def docker(self, client: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the Docker CLI as a client."""
        environment = {
            **self.dockerd.engine.environment,
            "DOCKER_HOST": f"tcp://127.0.0.1:{self.port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(self.identities / "clients" / client),
            "DOCKER_CONFIG": str(self.identities / "config"),
        }
        return subprocess.run(
            [self.dockerd.engine.docker, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


def identity(folder: Path, *arguments: str) -> None:
    done = run_command(Path.cwd(), "identity", *arguments, f"--identities={folder}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=TESTED)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.fail("a real dockerd needs root")
    folder, port = tmp_path_factory.mktemp("host"), free_port()
    identities = folder / "identities"
    identity(identities, "add", "dashboard", "--role=watcher", "--host=127.0.0.1")
    identity(identities, "add", "alice", "--role=developer")
    identity(identities, "add", "mallory", "--role=intern")
    config = folder / "config.yaml"
    config.write_text(SETTINGS.format(folder=identities))
    name = f"opa-authz-{os.getpid()}-identities"
    plugin = Path(f"/run/docker/plugins/{name}.sock")
    flags = (
        f"--host=tcp://127.0.0.1:{port}",
        "--tlsverify",
        f"--tlscacert={identities}/ca.pem",
        f"--tlscert={identities}/server/cert.pem",
        f"--tlskey={identities}/server/key.pem",
    )
    with ExitStack() as cleanup:
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(request.param), None, *flags))
        prepare_content(dockerd)
        cleanup.enter_context(
            running_plugin(
                folder, f"--config={config}", socket_=plugin, data_root=dockerd.data_root
            )
        )
        guard_with(dockerd, name)
        yield Host(dockerd, port, identities)


def test_a_role_may_what_its_profile_allows(host: Host) -> None:
    listed = host.docker("dashboard", "ps", "--format={{.Names}}")
    assert listed.stdout == "running\n", listed.stderr
    ran = host.docker("alice", "run", "--rm", IMAGE, "echo", "hello")
    assert ran.stdout == "hello\n", ran.stderr


def test_a_role_may_nothing_else(host: Host) -> None:
    stopped = host.docker("dashboard", "stop", "running")
    assert "authorization denied by plugin" in stopped.stderr
    assert "[sections.operation" in stopped.stderr
    privileged = host.docker("alice", "run", "--rm", "--privileged", IMAGE, "true")
    assert "[privileged.container" in privileged.stderr


def test_a_certificate_without_a_role_and_the_nameless_socket_are_strangers(host: Host) -> None:
    assert "[identity.unmatched-caller" in host.docker("mallory", "ps").stderr
    assert "[identity.unmatched-caller" in host.dockerd.docker("ps", check=False).stderr


def test_a_revoked_client_is_refused_from_its_next_request_on(host: Host) -> None:
    identity(host.identities, "add", "bob", "--role=developer")
    assert host.docker("bob", "ps").returncode == 0
    identity(host.identities, "revoke", "bob")
    assert "[identity.revoked" in host.docker("bob", "ps").stderr
    assert host.docker("alice", "ps").returncode == 0
