"""Typical commands of Docker clients."""

from __future__ import annotations

import http
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import docker
import docker.types

from tests.harness.client import call
from tests.harness.dockerd import IMAGE, Dockerd
from tests.harness.engines import CACHE, OLDEST, cli_plugins, node_packages, unpack
from tests.harness.plugin import wait_for

_TESTCONTAINERS: Final = Path(__file__).parent / "testcontainers"

COMPOSE_FILE: Final = f"""\
name: shop
services:
  web:
    image: {IMAGE}
    command: [sleep, "100"]
    stop_signal: KILL
    environment: {{MODE: test}}
    labels: {{team: shop}}
    ports: ["127.0.0.1:PORT:80"]
    volumes: ["data:/data", "./site:/site:ro"]
    networks: {{front: {{aliases: [www]}}}}
    depends_on: [db]
    healthcheck: {{test: [CMD, "true"], interval: 30s}}
    mem_limit: 64m
    cap_drop: [ALL]
    read_only: true
    tmpfs: [/tmp]
  db:
    image: {IMAGE}
    command: [sleep, "100"]
    stop_signal: KILL
    networks: [front]
    restart: unless-stopped
networks: {{front: {{}}}}
volumes: {{data: {{}}}}
"""

WATCHED: Final = f"""\
name: watched
services:
  web:
    image: {IMAGE}
    build: app
    command: [sleep, "100"]
    stop_signal: KILL
    develop:
      watch:
        - {{action: sync, path: ./site, target: /bin}}
        - {{action: rebuild, path: ./app}}
"""

BUILT: Final = """\
name: built
services:
  web:
    image: composed
    build: {context: app, args: {V: "2"}}
    command: [sleep, "100"]
    stop_signal: KILL
"""

BAKED: Final = """\
target "default" {
  context = "app"
  tags = ["baked"]
}
"""


@dataclass(frozen=True)
class Workspace:
    """A dockerd with an image and a container named ``running``, and a folder for files."""

    dockerd: Dockerd
    folder: Path

    def cli(self, line: str, text: str = "") -> str:
        """Run a command line of the engine's Docker CLI and return its output."""
        places = line.replace("PORT", str(self.dockerd.engine.port))
        words = [word.replace("WORKSPACE", str(self.folder)) for word in places.split()]
        done = self.dockerd.docker(*words, text=text, check=False)
        assert done.returncode == 0, f"docker {line}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def run(self, *command: str | Path, environment: dict[str, str] | None = None) -> None:
        """Run a program in the folder with the engine's own variables."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **self.dockerd.client_environment(), **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def plugin(self, line: str) -> None:
        """Run a command line of the Docker CLI that has the plugins Compose and Buildx."""
        environment = self.dockerd.client_environment(plugins=cli_plugins())
        self.run(self.dockerd.engine.docker, *line.split(), environment=environment)

    def write_app(self) -> None:
        """Write a folder ``app`` with a Dockerfile, which needs no registry."""
        (self.folder / "app").mkdir(exist_ok=True)
        dockerfile = f"FROM {IMAGE}\nARG V=1\nLABEL v=$V\nRUN touch /built\n"
        (self.folder / "app/Dockerfile").write_text(dockerfile)


def docker_cli(workspace: Workspace) -> None:
    """Run typical commands of the Docker CLI."""
    workspace.write_app()
    for line in _COMMANDS:
        workspace.cli(line)
    workspace.cli(f"run --rm --interactive {IMAGE} cat", text="typed\n")
    workspace.cli("build --quiet --tag=built --build-arg=V=2 WORKSPACE/app")
    workspace.cli("run --rm built ls /built")
    workspace.cli("image rm built")


_OPTIONS: Final = (
    "--network=app-net --network-alias=www --publish=127.0.0.1:PORT:80 --restart=on-failure:3"
)
_COMMANDS: Final = (
    "version",
    "info",
    "ps --all --filter status=running --no-trunc",
    "images --digests",
    f"image inspect {IMAGE}",
    f"history {IMAGE}",
    "network ls",
    "volume ls",
    f"run --rm {IMAGE} true",
    f"run --rm --name=one --hostname=one --user=1000:1000 --workdir=/tmp --env=A=b {IMAGE} id",
    f"run --rm --cap-drop=ALL --cap-add=CHOWN --security-opt=no-new-privileges {IMAGE} true",
    f"run --rm --read-only --tmpfs=/tmp:size=1m --memory=64m --pids-limit=50 {IMAGE} true",
    f"run --rm --cpu-shares=512 --cpus=0.5 --ulimit=nofile=1024:2048 --shm-size=8m {IMAGE} true",
    f"run --rm --volume=WORKSPACE:/w:ro {IMAGE} ls /w",
    f"run --rm --mount=type=bind,source=WORKSPACE,target=/w {IMAGE} ls /w",
    f"run --rm --mount=type=tmpfs,target=/t,tmpfs-size=1m {IMAGE} true",
    f"run --rm --entrypoint=/bin/ls {IMAGE} /",
    f"run --rm --label=a=b --stop-timeout=1 {IMAGE} true",
    f"run --rm --dns=127.0.0.1 --dns-search=example.com --add-host=db:10.0.0.2 {IMAGE} true",
    f"run --rm --health-cmd=true --health-interval=5s {IMAGE} true",
    f"run --rm --log-driver=json-file --log-opt=max-size=1m {IMAGE} true",
    "volume create --label=a=b data",
    "volume inspect data",
    f"run --rm --volume=data:/data {IMAGE} touch /data/x",
    "network create --driver=bridge --label=a=b app-net",
    "network inspect app-net",
    f"run --detach --name=web {_OPTIONS} --stop-signal=KILL {IMAGE} sleep 100",
    "inspect web",
    "port web",
    "logs web",
    "top web",
    "stats --no-stream web",
    "diff web",
    "exec web id",
    "exec --env=A=b --workdir=/bin --user=1000 web true",
    "exec --detach web true",
    "network connect app-net running",
    "network disconnect app-net running",
    "pause web",
    "unpause web",
    "rename web web2",
    "update --memory=128m --memory-swap=256m web2",
    "restart --time=0 web2",
    "kill web2",
    "wait web2",
    "start web2",
    "stop --time=0 web2",
    "commit --message=done web2 committed",
    "tag committed committed:2",
    "image rm committed committed:2",
    "container rm --force --volumes web2",
    "network rm app-net",
    "volume rm data",
    f"create --name=made {IMAGE} true",
    "cp WORKSPACE/app/Dockerfile made:/copied",
    "cp made:/copied WORKSPACE/copied",
    "rm made",
    "events --since=0 --until=1",
)  # fmt: skip


def compose(workspace: Workspace) -> None:
    """Run the engine's Docker Compose, from ``up`` to ``down``, without builds."""
    (workspace.folder / "site").mkdir(exist_ok=True)
    file = workspace.folder / "compose.yaml"
    file.write_text(COMPOSE_FILE.replace("PORT", str(workspace.dockerd.engine.port + 1)))
    for line in (
        "up --detach", "ps --all", "logs", "exec -T web id", "stop --timeout 0", "start",
        "restart --timeout 0", "run --rm --no-deps web true", "config", "images", "top",
        "down --volumes --timeout 0",
    ):  # fmt: skip
        if workspace.dockerd.engine.name == OLDEST:
            unpack("trixie", ("docker-compose",), CACHE / "compose")
            program = CACHE / "compose/usr/libexec/docker/cli-plugins/docker-compose"
            workspace.run(program, f"--file={file}", *line.split())
        else:
            workspace.plugin(f"compose --file={file} {line}")
    if workspace.dockerd.engine.name != OLDEST:
        with _watching(workspace) as file:
            pass
        workspace.plugin(f"compose --file={file} down --timeout 0")


@contextmanager
def _watching(workspace: Workspace) -> Iterator[Path]:
    """Have Compose watch a folder and copy a file of it into its container; the Compose file."""
    workspace.write_app()
    site = workspace.folder / "site"
    site.mkdir(exist_ok=True)
    file = workspace.folder / "watched.yaml"
    file.write_text(WATCHED)
    workspace.plugin(f"compose --file={file} up --detach --no-build")
    log = workspace.folder / "watch.log"
    environment = workspace.dockerd.client_environment(plugins=cli_plugins())
    with log.open("wb") as output:
        watch = subprocess.Popen(
            [workspace.dockerd.engine.docker, "compose", f"--file={file}", "watch", "--no-up"],
            cwd=workspace.folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: "Watch enabled" in log.read_text(), "Compose to watch", 30)
        (site / "page").write_text("new")
        page = "/containers/watched-web-1/archive?path=/bin/page"
        wait_for(
            lambda: call(workspace.dockerd.socket, "HEAD", page).status == http.HTTPStatus.OK,
            "Compose to copy a file",
            30,
        )
        shown = ("exec", "watched-web-1", "cat", "/bin/page")
        wait_for(lambda: workspace.dockerd.docker(*shown).stdout == "new", "the file's content")
        yield file
    finally:
        watch.terminate()
        watch.wait(30)


def docker_py(workspace: Workspace) -> None:
    """Use docker-py as scripts and Testcontainers do."""
    client = docker.DockerClient(base_url=f"unix://{workspace.dockerd.socket}", timeout=60)
    try:
        client.ping()
        client.version()
        client.info()
        assert client.containers.run(IMAGE, ["echo", "hello"], remove=True) == b"hello\n"
        container = client.containers.create(
            IMAGE,
            ["sleep", "100"],
            name="case",
            labels={"org.testcontainers": "true"},
            environment={"A": "b"},
            ports={"80/tcp": None},
            volumes={str(workspace.folder): {"bind": "/w", "mode": "ro"}},
            mem_limit="64m",
            stop_signal="KILL",
            mounts=[docker.types.Mount("/t", None, type="tmpfs")],
        )
        container.start()
        container.reload()
        container.exec_run(["id"], user="1000")
        container.put_archive("/bin", _archive())
        list(container.get_archive("/bin/file")[0])
        container.logs(tail=10)
        container.stats(stream=False)
        container.top()
        container.stop(timeout=0)
        container.wait()
        container.remove(force=True, v=True)
        network = client.networks.create("case-net", driver="bridge", labels={"a": "b"})
        network.remove()
        volume = client.volumes.create("case-data", labels={"a": "b"})
        volume.remove()
        client.containers.list(all=True, filters={"label": "org.testcontainers=true"})
        client.images.list()
        client.images.get(IMAGE)
        client.networks.list()
        client.volumes.list()
    finally:
        client.close()


def _archive() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    return content.getvalue()


_TASK: Final = (
    "--network=mesh --replicas=1 --mount=type=bind,source=WORKSPACE,target=/w --env=A=b "
    "--limit-memory=64m --restart-condition=none --constraint=node.role==manager"
)


def swarm(workspace: Workspace) -> None:
    """Run commands of the Docker CLI for swarms."""
    for line in (
        "swarm init --advertise-addr=127.0.0.1 --listen-addr=127.0.0.1:0",
        "node ls",
        "network create --driver=overlay --attachable mesh",
        f"service create --detach --no-resolve-image --name=web {_TASK} {IMAGE} sleep 100",
        "service ls",
        "service ps web",
        "service inspect web",
        "service update --detach --no-resolve-image --env-add=C=d web",
        "service scale --detach web=0",
        "service rollback --detach web",
        "service rm web",
        "node update --label-add=a=b NODE",
        "swarm update --task-history-limit=2",
        "swarm join-token worker",
        "network rm mesh",
    ):  # fmt: skip
        node = workspace.cli("info --format={{.Swarm.NodeID}}") if "NODE" in line else ""
        workspace.cli(line.replace("NODE", node))
    workspace.cli("secret create password -", text="hush")
    workspace.cli("config create settings -", text="x=1")
    for line in ("secret ls", "config ls", "config inspect settings", "secret rm password"):
        workspace.cli(line)
    workspace.cli("config rm settings")
    workspace.cli("swarm leave --force")


def buildx(workspace: Workspace) -> None:
    """Build with BuildKit: Buildx with the driver ``docker``."""
    workspace.write_app()
    (workspace.folder / "docker-bake.hcl").write_text(BAKED)
    for line in (
        "buildx ls",
        "buildx inspect",
        "buildx build --progress=plain --tag=built --build-arg=V=2 app",
        "build --progress=plain --tag=built app",
        "buildx bake --file=docker-bake.hcl",
        "run --rm baked ls /built",
        "buildx history ls",
        "buildx du",
        "buildx prune --force",
        "builder prune --force",
        "image rm built baked",
    ):
        workspace.plugin(line)


def compose_build(workspace: Workspace) -> None:
    """Build with Docker Compose, and have it build again what it watches."""
    workspace.write_app()
    file = workspace.folder / "built.yaml"
    file.write_text(BUILT)
    for line in ("build", "up --detach --build", "down --timeout 0 --rmi all"):
        workspace.plugin(f"compose --file={file} {line}")
    with _watching(workspace) as file:

        def is_built_again() -> bool:
            answer = call(workspace.dockerd.socket, "GET", "/containers/watched-web-1/json")
            return '"v":"2"' in answer.text

        assert not is_built_again()
        dockerfile = workspace.folder / "app/Dockerfile"
        dockerfile.write_text(dockerfile.read_text().replace("V=1", "V=2"))
        wait_for(is_built_again, "Compose to build again", 60)
    workspace.plugin(f"compose --file={file} down --timeout 0")


def testcontainers_python(workspace: Workspace) -> None:
    """Run an ordinary test with Testcontainers for Python."""
    program = [sys.executable, "-m", "tests.corpus.testcontainers_use"]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    workspace.run(*program, IMAGE, workspace.folder, environment=_NO_RYUK | path)


def testcontainers_node(workspace: Workspace) -> None:
    """Run an ordinary test with Testcontainers for Node."""
    modules = {"NODE_PATH": str(node_packages(_TESTCONTAINERS) / "node_modules")}
    script = _TESTCONTAINERS / "ordinary.cjs"
    workspace.run("node", script, IMAGE, workspace.folder, environment=_NO_RYUK | modules)


_NO_RYUK: Final = {"TESTCONTAINERS_RYUK_DISABLED": "true"}
"""No container that cleans up: its image is in a registry, and it asks for dockerd's socket."""


ORDINARY: Final[dict[str, Callable[[Workspace], None]]] = {
    "docker": docker_cli,
    "docker compose": compose,
    "docker-py": docker_py,
    "Testcontainers for Python": testcontainers_python,
    "Testcontainers for Node": testcontainers_node,
}
"""The clients that work under the profile ``devcontainer``."""

BUILDERS: Final[dict[str, Callable[[Workspace], None]]] = {
    "docker buildx": buildx,
    "docker compose (build)": compose_build,
}
"""The clients that need BuildKit's own protocol: the sections ``session`` and ``grpc``."""

ALL: Final[dict[str, Callable[[Workspace], None]]] = {
    **ORDINARY,
    "docker (swarm)": swarm,
    **BUILDERS,
}
