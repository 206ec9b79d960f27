"""What users wrote down of the proxies that they ran before: every promise, kept by us.

``devcontainer`` is the first document (a development container's proxy), ``production`` the
second (the validation guide of a multi-tenant service). The test ids quote their lines.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.dockerd import IMAGE
from tests.real.conftest import TESTED, Guard, Guarded

Steps = Callable[[Guarded], None]


@pytest.fixture(params=TESTED)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def devcontainer(guard: Guard, engine: str) -> Guarded:
    return guard(engine, "devcontainer")


@pytest.fixture
def production(guard: Guard, engine: str) -> Guarded:
    return guard(engine, "production")


def cli(*arguments: str, text: str = "") -> Steps:
    """One run of the Docker CLI that succeeds."""
    return lambda guarded: _discard(guarded.succeeds(*arguments, text=text))


def _discard(_: str) -> None:
    pass


def build(guarded: Guarded) -> None:
    context = guarded.workspace / "app"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN touch /built\n")
    guarded.succeeds("build", "--tag=myapp", str(context))
    guarded.succeeds("run", "--rm", "myapp", "ls", "/built")


def commit(guarded: Guarded) -> None:
    guarded.succeeds("commit", "running", "committed")
    guarded.succeeds("image", "rm", "committed")


def life(guarded: Guarded) -> None:
    """Create, start, stop, restart and remove a container."""
    guarded.succeeds("create", "--name=life", IMAGE, "sleep", "1000")
    for command in ("start", "restart --time=0", "inspect", "pause", "unpause"):
        guarded.succeeds(*command.split(), "life")
    guarded.succeeds("stop", "--time=0", "life")
    guarded.succeeds("rm", "life")


def published(guarded: Guarded) -> None:
    publish = f"--publish={guarded.dockerd.engine.port}:80"
    guarded.succeeds("run", "--detach", "--name=web", publish, IMAGE, "sleep", "100")
    guarded.succeeds("rm", "--force", "web")


def network(guarded: Guarded) -> None:
    guarded.succeeds("network", "create", "app-net")
    guarded.succeeds("run", "--rm", "--network=app-net", IMAGE, "true")
    guarded.succeeds("network", "connect", "app-net", "running")
    guarded.succeeds("network", "disconnect", "app-net", "running")
    guarded.succeeds("network", "rm", "app-net")


def volume(guarded: Guarded) -> None:
    guarded.succeeds("volume", "create", "app-data")
    guarded.succeeds("run", "--rm", "--volume=app-data:/data", IMAGE, "touch", "/data/x")
    guarded.succeeds("volume", "inspect", "app-data")
    guarded.succeeds("volume", "rm", "app-data")


def workspace_mount(guarded: Guarded) -> None:
    (guarded.workspace / "data").mkdir(exist_ok=True)
    (guarded.workspace / "data/found").touch()
    listed = guarded.succeeds(
        "run", "--rm", f"--volume={guarded.workspace}/data:/data", IMAGE, "ls", "/data"
    )
    assert "found" in listed
    guarded.succeeds("create", "--name=ws", "--volume=/workspace/data:/data", IMAGE, "true")
    guarded.succeeds("rm", "ws")


DEVCONTAINER_ALLOWED = {
    "docker ps": cli("ps", "--all"),
    "docker images": cli("images"),
    "docker logs": cli("logs", "running"),
    "docker inspect": cli("inspect", "running"),
    "docker version": cli("version"),
    "docker info": cli("info"),
    "Viewing events and monitoring: events": cli("events", "--since=1s", "--until=0s"),
    "Viewing events and monitoring: stats": cli("stats", "--no-stream", "running"),
    "Viewing events and monitoring: top": cli("top", "running"),
    "docker build - Building images": build,
    "docker commit - Committing container changes": commit,
    "docker run - Starting containers": cli("run", "--rm", IMAGE, "echo", "hello"),
    "docker create, stop, start, restart": life,
    "docker exec - Executing commands in containers": cli("exec", "running", "id"),
    "docker run -d --name myapp -p 8080:80 myapp": published,
    "Creating and managing networks": network,
    "Creating and managing volumes": volume,
    "docker volume ls": cli("volume", "ls"),
    "docker run -v /workspace/data:/data": workspace_mount,
}


@pytest.mark.parametrize("line", DEVCONTAINER_ALLOWED)
def test_devcontainer_allows(devcontainer: Guarded, line: str) -> None:
    DEVCONTAINER_ALLOWED[line](devcontainer)


DISGUISED_BIND = (
    "type=volume,source=x,target=/data,"
    "volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc"
)

DEVCONTAINER_BLOCKED = {
    "docker run --privileged": (["--privileged"], "privileged.container"),
    "Host namespace modes: network": (["--network=host"], "namespaces.host"),
    "Host namespace modes: pid": (["--pid=host"], "namespaces.host"),
    "Host namespace modes: ipc": (["--ipc=host"], "namespaces.host"),
    "Host namespace modes: uts": (["--uts=host"], "namespaces.host"),
    "Host namespace modes: userns": (["--userns=host"], "namespaces.host"),
    "Device access": (["--device=/dev/null"], "devices.mapping"),
    "Device access: by cgroup rule": (["--device-cgroup-rule=b *:* rwm"], "devices.cgroup-rule"),
    "System directories: /": (["--volume=/:/host"], "mounts.source"),
    "System directories: /etc": (["--volume=/etc:/etc"], "mounts.source"),
    "System directories: /home": (["--volume=/home:/home"], "mounts.source"),
    "Mounting paths outside /workspace: a sibling": (
        ["--volume=/workspace2:/data"],
        "mounts.source",
    ),
    "Mounting paths outside /workspace: ..": (
        ["--volume=/workspace/../etc:/data"],
        "mounts.source",
    ),
    "Mounting paths outside /workspace: --mount": (
        ["--mount=type=bind,source=/etc,target=/data"],
        "mounts.source",
    ),
    "Mounting paths outside /workspace: a volume that is a bind": (
        ["--mount", DISGUISED_BIND],
        "mounts.source",
    ),
    "Docker socket not mounted in dev container": (
        ["--volume=/var/run/docker.sock:/var/run/docker.sock"],
        "mounts.protected",
    ),
}


@pytest.mark.parametrize("line", DEVCONTAINER_BLOCKED)
def test_devcontainer_blocks(devcontainer: Guarded, line: str) -> None:
    options, rule = DEVCONTAINER_BLOCKED[line]
    devcontainer.is_denied("run", "--rm", *options, IMAGE, "true", by=rule)


def test_devcontainer_blocks_a_link_that_leads_outside(devcontainer: Guarded) -> None:
    link = devcontainer.workspace / "link-of-the-seeds"
    link.symlink_to("/etc")
    devcontainer.is_denied(
        "run", "--rm", f"--volume={link}:/data", IMAGE, "true", by="mounts.source"
    )


def test_devcontainer_cannot_be_bypassed_by_calling_another_binary(devcontainer: Guarded) -> None:
    """No Bypass Possible: the rule is asked for whoever speaks to the socket, docker-py too."""
    import docker  # noqa: PLC0415
    from docker.errors import APIError  # noqa: PLC0415

    client = docker.DockerClient(f"unix://{devcontainer.dockerd.socket}")
    try:
        with pytest.raises(APIError, match=r"mounts\.source"):
            client.containers.create(IMAGE, "true", volumes=["/etc:/etc"])
        client.containers.run(IMAGE, "true", remove=True)
    finally:
        client.close()


DEVCONTAINER_SECTIONS_OFF = {
    "SWARM: not enabled": ("swarm", "init"),
    "SERVICES: not enabled": ("service", "ls"),
    "NODES: not enabled": ("node", "ls"),
    "SECRETS: not enabled": ("secret", "ls"),
    "CONFIGS: not enabled": ("config", "ls"),
    "PLUGINS: not enabled": ("plugin", "ls"),
    "SYSTEM: not enabled": ("system", "df"),
}


@pytest.mark.parametrize("line", DEVCONTAINER_SECTIONS_OFF)
def test_devcontainer_has_minimal_sections_open(devcontainer: Guarded, line: str) -> None:
    devcontainer.is_denied(*DEVCONTAINER_SECTIONS_OFF[line], by="sections.operation")


PRODUCTION_ALLOWED = {
    "CONTAINERS=1: list": cli("ps", "--all"),
    "CONTAINERS=1: inspect": cli("inspect", "running"),
    "CONTAINERS=1: create, start, stop, restart; DELETE=1: remove containers": life,
    "POST=1: container lifecycle": cli("run", "--rm", IMAGE, "true"),
    "IMAGES=1: list images": cli("images"),
    "IMAGES=1: inspect images": cli("image", "inspect", IMAGE),
    "INFO=1: get Docker system information": cli("info"),
    "VERSION=1: get Docker version": cli("version"),
}


@pytest.mark.parametrize("line", PRODUCTION_ALLOWED)
def test_production_allows(production: Guarded, line: str) -> None:
    PRODUCTION_ALLOWED[line](production)


PRODUCTION_DENIED = {
    "VOLUMES=0: cannot list volumes": ("volume", "ls"),
    "VOLUMES=0 / attack 7: docker volume create malicious-volume": (
        "volume",
        "create",
        "malicious-volume",
    ),
    "NETWORKS=0: cannot list networks": ("network", "ls"),
    "NETWORKS=0 / attack 8: docker network create attack-network": (
        "network",
        "create",
        "attack-network",
    ),
    "EXEC=0 / attack 9: docker exec <container> /bin/sh": ("exec", "running", "/bin/sh"),
    "SWARM=0: no swarm management": ("swarm", "init"),
    "SERVICES=0: no service management": ("service", "ls"),
    "COMMIT=0: cannot commit containers to images": ("commit", "running", "stolen"),
    "CONFIGS=0: no config management": ("config", "ls"),
    "SECRETS=0: no secrets management": ("secret", "ls"),
    "PLUGINS=0: no plugin management": ("plugin", "ls"),
    "images are read only: cannot pull": ("pull", "alpine"),
    "images are read only: cannot remove": ("image", "rm", IMAGE),
    "images are read only: cannot tag": ("tag", IMAGE, "trusted:latest"),
}


@pytest.mark.parametrize("line", PRODUCTION_DENIED)
def test_production_denies(production: Guarded, line: str) -> None:
    production.is_denied(*PRODUCTION_DENIED[line], by="sections.operation")


def test_production_denies_malicious_image_build(production: Guarded) -> None:
    """BUILD=0 / attack 10: docker build -t malicious ."""
    context = production.workspace / "malicious"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\n")
    production.is_denied("build", "--tag=malicious", str(context), by="sections.operation")


def test_production_denies_task_management(production: Guarded) -> None:
    """TASKS=0: the CLI has no command that lists tasks alone."""
    response = production.get("/tasks")
    assert response.status == 403
    assert "sections.operation" in response.text


PRODUCTION_ATTACKS = {
    "1. docker run --privileged": (["--privileged"], "privileged.container"),
    "2. docker run --network host": (["--network=host"], "namespaces.host"),
    "3. docker run -v /:/hostfs": (["--volume=/:/hostfs"], "mounts.source"),
    "4. docker run -v /var/run/docker.sock:/var/run/docker.sock": (
        ["--volume=/var/run/docker.sock:/var/run/docker.sock"],
        "mounts.protected",
    ),
    "5. docker run --cap-add SYS_ADMIN": (["--cap-add=SYS_ADMIN"], "capabilities.add"),
    "6. docker run --pid host": (["--pid=host"], "namespaces.host"),
    "Host namespace access: IPC": (["--ipc=host"], "namespaces.host"),
    "5.1: AppArmor profiles are applied": (
        ["--security-opt=apparmor=unconfined"],
        "security-options.value",
    ),
    "5.25: no additional privileges": (
        ["--security-opt=no-new-privileges=false"],
        "security-options.value",
    ),
    "4.5: insecure runtime configurations: seccomp": (
        ["--security-opt=seccomp=unconfined"],
        "security-options.value",
    ),
    "4.5: insecure runtime configurations: masked paths": (
        ["--security-opt=systempaths=unconfined"],
        "security-options.paths",
    ),
    "Volume-based exfiltration without the volume API": (
        ["--volume=malicious-volume:/data"],
        "volumes.named",
    ),
    "Mounts of another container": (["--volumes-from=running"], "mounts.volumes-from"),
    "Network of another container": (["--network=container:running"], "namespaces.container"),
    "Processes of another container": (["--pid=container:running"], "namespaces.container"),
}


@pytest.mark.parametrize("line", PRODUCTION_ATTACKS)
def test_production_blocks_the_attack(production: Guarded, line: str) -> None:
    options, rule = PRODUCTION_ATTACKS[line]
    production.is_denied("run", "--rm", *options, IMAGE, "true", by=rule)


def test_production_answers_a_blocked_operation_with_403_and_a_clear_message(
    production: Guarded,
) -> None:
    """Clear error messages for blocked operations; proper 403 Forbidden responses."""
    response = production.post(
        "/containers/create", {"Image": IMAGE, "HostConfig": {"Privileged": True}}
    )
    assert response.status == 403
    assert "privileged containers are not allowed [privileged.container" in response.text
    assert "(decision " in response.text


def test_production_answers_info_with_200_and_volumes_with_403(production: Guarded) -> None:
    """Manual API tests: 200 OK for /info, 403 Forbidden for /volumes."""
    assert production.get("/info").status == 200
    assert production.get("/volumes").status == 403
