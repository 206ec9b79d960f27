"""What a container may use up and do without, and who may look: where one request is not enough."""

from __future__ import annotations

import json

import pytest

from authz_plugin.configuration import complete_profile
from authz_plugin.hostpaths import UnseenHostPaths
from tests.harness.dockerd import IMAGE
from tests.real.conftest import TESTED, Guard

ARGUMENTS = complete_profile("devcontainer", UnseenHostPaths())["containers"]["ps_arguments"]


@pytest.mark.parametrize("engine", TESTED)
def test_docker_top_shows_the_processes_of_the_container_and_no_others(
    guard: Guard, engine: str
) -> None:
    guarded = guard(engine, "devcontainer")
    for arguments in ARGUMENTS:
        shown = guarded.succeeds("top", "running", *arguments.split()).splitlines()
        assert len(shown) == 2, (arguments, shown)
        assert "sleep" in shown[1], (arguments, shown)


@pytest.mark.parametrize("engine", TESTED)
@pytest.mark.parametrize("arguments", ["-eo pid,user", "e", "--forest", "-ef "])
def test_other_arguments_of_ps_are_denied(guard: Guard, engine: str, arguments: str) -> None:
    guarded = guard(engine, "devcontainer")
    target = f"/containers/running/top?ps_args={arguments.replace(' ', '%20')}"
    assert "[containers.ps-arguments" in guarded.get(target).text


@pytest.mark.parametrize("engine", TESTED)
@pytest.mark.parametrize("profile", ["devcontainer", "production"])
def test_nothing_is_started_from_a_checkpoint(guard: Guard, engine: str, profile: str) -> None:
    answer = guard(engine, profile).post("/containers/running/start?checkpoint=x", None)
    assert "container.checkpoint.restore: " in answer.text
    assert "[sections.operation" in answer.text


@pytest.mark.parametrize("engine", TESTED)
def test_a_health_check_of_no_documented_form_is_refused_whatever_makes_it(
    guard: Guard, engine: str
) -> None:
    guarded = guard(engine, "devcontainer")
    check = {"Healthcheck": {"Test": ["none"]}}
    for path, body in (
        ("/containers/create", {"Image": IMAGE, **check}),
        ("/commit?container=running&repo=checked", check),
        ("/services/create", {"TaskTemplate": {"ContainerSpec": {"Image": IMAGE, **check}}}),
    ):
        assert "[request.healthcheck" in guarded.post(path, body).text


@pytest.mark.parametrize("engine", TESTED)
def test_a_container_gets_as_much_swap_as_memory_and_64_mib_to_share(
    guard: Guard, engine: str
) -> None:
    guarded = guard(engine, "devcontainer")
    guarded.succeeds("create", "--name=swapping", "--memory=64m", IMAGE, "true")
    (shown,) = json.loads(guarded.succeeds("inspect", "swapping"))
    host = shown["HostConfig"]
    assert host["MemorySwap"] in {2 * host["Memory"], -1}  # -1: this kernel counts no swap
    assert host["ShmSize"] == 64 << 20
    guarded.succeeds("rm", "swapping")


@pytest.mark.parametrize("engine", TESTED)
def test_an_update_is_judged_by_the_most_that_it_can_mean(guard: Guard, engine: str) -> None:
    guarded = guard(engine, "agent")
    quota = guarded.is_denied("update", "--cpu-quota=50000", "running", by="resources.max")
    assert "give CpuPeriod with it" in quota
    memory = guarded.is_denied("update", "--memory=1g", "running", by="resources.max")
    assert "give MemorySwap with Memory" in memory
    guarded.succeeds("update", "--cpu-quota=50000", "--cpu-period=100000", "running")
    guarded.succeeds("update", "--memory=1g", "--memory-swap=2g", "running")


@pytest.mark.parametrize("engine", TESTED)
def test_a_volume_in_memory_is_judged_as_a_tmpfs(guard: Guard, engine: str) -> None:
    guarded = guard(engine, "devcontainer")
    options = ["--opt=type=tmpfs", "--opt=device=tmpfs"]
    suid = "--opt=o=size=1m,exec,suid,dev"
    guarded.is_denied("volume", "create", *options, suid, "loose", by="tmpfs.option")
    mount = "type=volume,dst=/x,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=suid"
    guarded.is_denied("create", f"--mount={mount}", IMAGE, by="tmpfs.option")
    guarded.succeeds("volume", "create", *options, "--opt=o=size=1m,uid=1000", "tight")
    guarded.succeeds("run", "--rm", "--volume=tight:/x", IMAGE, "touch", "/x/y")
    guarded.succeeds("volume", "rm", "tight")


@pytest.mark.parametrize("engine", TESTED)
def test_an_agent_builds_nothing(guard: Guard, engine: str) -> None:
    guarded = guard(engine, "agent")
    context = guarded.workspace / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    denied = guarded.dockerd.docker("build", str(context), check=False)
    assert denied.returncode != 0
    assert "[sections.operation" in denied.stderr
