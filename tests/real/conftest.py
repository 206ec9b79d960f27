"""Real daemons, guarded by the real plugin: one for each engine and profile that tests ask for."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fleet.conftest import registry, registry_push, site  # noqa: F401 - fixtures
from tests.harness.client import Response, call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, OLDEST, prepare
from tests.harness.front import without_http2
from tests.harness.namespace import hide_run
from tests.harness.plugin import Plugin, running_plugin, wait_for

HERE: Final = Path(__file__).parent
TESTED: Final = (OLDEST, NEWEST)


@dataclass(frozen=True)
class Guarded:
    """A dockerd that asks a plugin; ``workspace`` is a folder that devcontainer may mount."""

    dockerd: Dockerd
    plugin: Plugin
    name: str
    workspace: Path

    def succeeds(self, *arguments: str, text: str = "") -> str:
        """Run the Docker CLI; its output."""
        done = self.dockerd.docker(*arguments, check=False, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_denied(self, *arguments: str, by: str, text: str = "") -> str:
        """Run the Docker CLI and see it denied by a rule; the message that the person gets."""
        done = self.dockerd.docker(*arguments, check=False, text=text)
        assert done.returncode != 0, done.stdout
        assert f"authorization denied by plugin {self.name}: " in done.stderr
        assert f"[{by}" in done.stderr
        return done.stderr

    def get(self, path: str) -> Response:
        """Send a raw GET."""
        return call(self.dockerd.socket, "GET", path)

    def post(self, path: str, body: Any) -> Response:
        """Send a raw POST with a JSON body."""
        headers = {"Content-Type": "application/json"}
        return call(self.dockerd.socket, "POST", path, headers, json.dumps(body).encode())


Guard = Callable[..., Guarded]


_SLOWEST_FIRST: Final = (
    "test_attacks",
    "test_faults",
    "test_operator_tools",
    "test_journal",
    "test_clients",
    "test_attack_command",
    "test_moved_mounts",
    "test_protocol",
    "test_soak",
    "test_seeds",
    "test_operator_docs",
    "test_operator_tutorial",
    "test_names",
)
"""The files that take the longest. Workers begin with them, so that they end at the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by file, the slowest file first.

    The tests of a file share daemons, so that one worker must run them all (``--dist loadfile``).
    """
    real = [item for item in items if item.path.is_relative_to(HERE)]
    others = [item for item in items if not item.path.is_relative_to(HERE)]
    items[:] = others + sorted(real, key=_turn)


def _turn(item: pytest.Item) -> int:
    stem = item.path.stem
    return _SLOWEST_FIRST.index(stem) if stem in _SLOWEST_FIRST else len(_SLOWEST_FIRST)


@pytest.fixture(scope="session", autouse=True)
def _own_plugins() -> None:
    """Keep the dockerds of other workers from the plugins of this one, and the data of this
    worker's dockerds in memory."""
    if os.geteuid() == 0:
        hide_run()


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """Guarded daemons, started when first asked for and kept until the end."""
    if os.geteuid() != 0:
        pytest.fail("a real dockerd needs root; `make unit rego` runs everything else")
    running: dict[tuple[str, str], Guarded] = {}
    with ExitStack() as cleanup:

        def start(engine: str, profile: str) -> Guarded:
            if (engine, profile) not in running:
                running[engine, profile] = _start(engine, profile, cleanup)
            return running[engine, profile]

        yield start


def _start(engine: str, profile: str, cleanup: ExitStack) -> Guarded:
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-")))
    workspace = folder / "workspace"
    workspace.mkdir()
    config = folder / "config.yaml"
    roots = f"[{{path: /workspace}}, {{path: {workspace}}}]" if profile == "devcontainer" else "[]"
    name = f"opa-authz-{os.getpid()}-{engine.replace('.', '-')}-{profile}"
    socket = Path(f"/run/docker/plugins/{name}.sock")
    closed = scratch_dockerd(prepare(engine), environment=without_http2())
    dockerd = cleanup.enter_context(closed)
    config.write_text(
        f"profile: {profile}\nlog: {{level: debug}}\nmounts: {{allow: {roots}}}\n"
        f"data_root: {dockerd.data_root}\n"
    )
    plugin = cleanup.enter_context(running_plugin(folder, f"--config={config}", socket_=socket))
    prepare_content(dockerd)
    guard_with(dockerd, name)
    return Guarded(dockerd, plugin, name, workspace)


def prepare_content(dockerd: Dockerd) -> None:
    """An image, and a container ``running`` made of it."""
    dockerd.import_image()
    options = ["--detach", "--name=running", "--stop-signal=KILL"]
    dockerd.docker("run", *options, IMAGE, "sleep", "100000")


def guard_with(dockerd: Dockerd, name: str) -> None:
    """Have dockerd ask a plugin from now on, as an operator does: daemon.json and SIGHUP."""
    dockerd.reload({"authorization-plugins": [name]})

    def is_guarded() -> bool:
        return "authorization denied" in call(dockerd.socket, "GET", "/plugins").text

    wait_for(is_guarded, "dockerd to ask the plugin", 20)
