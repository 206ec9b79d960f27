"""Real clients, on an ordinary day, at a guarded dockerd: nothing is refused that should not be."""

from __future__ import annotations

import docker
import pytest
from docker.errors import APIError

from tests.corpus.clients import ORDINARY, Workspace
from tests.harness.dockerd import IMAGE
from tests.real.conftest import TESTED, Guard


@pytest.mark.parametrize("client", ORDINARY)
@pytest.mark.parametrize("engine", TESTED)
def test_a_client_works_in_a_development_container(guard: Guard, engine: str, client: str) -> None:
    guarded = guard(engine, "devcontainer")
    ORDINARY[client](Workspace(guarded.dockerd, guarded.workspace))


@pytest.mark.parametrize("engine", TESTED)
def test_docker_py_chooses_an_allowed_runtime_at_the_top_level(guard: Guard, engine: str) -> None:
    guarded = guard(engine, "devcontainer")
    client = docker.APIClient(f"unix://{guarded.dockerd.socket}")
    try:
        made = client.create_container(IMAGE, ["true"], runtime="runc")["Id"]
        try:
            assert client.inspect_container(made)["HostConfig"]["Runtime"] == "runc"
        finally:
            client.remove_container(made)
        for host_config in (None, client.create_host_config()):
            with pytest.raises(APIError, match=r"runtime kata .* \[containers\.runtime Runtime\]"):
                client.create_container(IMAGE, ["true"], runtime="kata", host_config=host_config)
    finally:
        client.close()
