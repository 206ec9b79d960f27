"""Real daemons, guarded by the real plugin: one for each engine and profile that tests ask for."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.fleet.conftest import registry, registry_push, site  # noqa: F401 - fixtures
from tests.harness.client import Response, call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import ENGINES, NEWEST, OLDEST, prepare
from tests.harness.front import without_http2
from tests.harness.namespace import PLUGINS, hide_run
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
    "guarded 29",
    "guarded 20.10",
    "test_journal 29",
    "test_buildkit 29",
    "test_faults 29",
    "test_console 29",
    "test_soak 29",
    "test_operator_tutorial 29",
    "test_fleet 29",
    "test_attacks 29",
    "test_attacks 28.5",
    "test_attacks 26.1",
    "test_attacks 20.10",
    "test_unit 29",
    "test_names 20.10",
    "test_names 29",
    "test_moved_mounts 29",
    "test_moved_mounts 20.10",
    "test_faults 20.10",
)
"""The groups that take the longest. Workers begin with them, so that they end at the same time."""


_SHARING: Final = frozenset(
    {
        "test_attack_command",
        "test_clients",
        "test_operator_docs",
        "test_operator_tools",
        "test_protocol",
        "test_seeds",
        "test_workloads",
    }
)
"""The files whose tests share the guarded daemons."""

_ENGINE: Final = re.compile(rf"\[(?:.*-)?({'|'.join(map(re.escape, ENGINES))})(?:-.*)?\]$")


def group(nodeid: str) -> str:
    """The group of a test by its id: its file or ``guarded``, and its engine.

    The tests of a group share daemons, so that one worker must run them all.
    """
    stem = nodeid.partition("::")[0].rpartition("/")[2].removesuffix(".py")
    engine = _ENGINE.search(nodeid)
    return f"{'guarded' if stem in _SHARING else stem} {engine[1] if engine else NEWEST}"


class _Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker all tests of a group; the groups are in the order of their first tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Groups:
    return _Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by group, the slowest group first."""
    real = [item for item in items if item.path.is_relative_to(HERE)]
    others = [item for item in items if not item.path.is_relative_to(HERE)]
    groups = [*_SLOWEST_FIRST, *(group(item.nodeid) for item in real)]
    turns = {name: turn for turn, name in reversed(list(enumerate(groups)))}
    items[:] = others + sorted(real, key=lambda item: turns[group(item.nodeid)])
    for item in real:
        shares = "guard" in getattr(item, "fixturenames", ())
        assert not shares or item.path.stem in _SHARING, f"add {item.path.stem} to _SHARING"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End the guarded daemons after the last test of their group: one that is idle is not free."""
    try:
        return (yield)
    finally:
        if nextitem is None or group(nextitem.nodeid) != group(item.nodeid):
            _stop_running()


@pytest.fixture(scope="session", autouse=True)
def _own_plugins() -> None:
    """Keep the dockerds of other workers from the plugins of this one, and the data of this
    worker's dockerds in memory."""
    if os.geteuid() == 0:
        hide_run()


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """A daemon of an engine, guarded by a profile.

    There is one for each engine, started when first asked for; its plugin takes over the profile
    that is asked for. It ends after the last test of its group.
    """
    if os.geteuid() != 0:
        pytest.fail("a real dockerd needs root; `make unit rego` runs everything else")

    def guarded_by(engine: str, profile: str) -> Guarded:
        if engine not in _RUNNING:
            _RUNNING[engine] = _Running(engine, profile)
        return _RUNNING[engine].under(profile)

    yield guarded_by
    _stop_running()


class _Running:
    """A guarded dockerd, whose plugin decides by one profile at a time."""

    def __init__(self, engine: str, profile: str) -> None:
        self._cleanup = ExitStack()
        self._profile = profile
        with ExitStack() as cleanup:
            self._guarded = self._start(engine, cleanup)
            self._cleanup = cleanup.pop_all()

    def _start(self, engine: str, cleanup: ExitStack) -> Guarded:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-")))
        workspace = folder / "workspace"
        workspace.mkdir()
        name = f"opa-authz-{os.getpid()}-{engine.replace('.', '-')}"
        closed = scratch_dockerd(prepare(engine), environment=without_http2())
        dockerd = cleanup.enter_context(closed)
        config = folder / "config.yaml"
        config.write_text(_settings(self._profile, workspace, dockerd))
        socket = PLUGINS / f"{name}.sock"
        plugin = cleanup.enter_context(running_plugin(folder, f"--config={config}", socket_=socket))
        prepare_content(dockerd)
        guard_with(dockerd, name)
        return Guarded(dockerd, plugin, name, workspace)

    def under(self, profile: str) -> Guarded:
        """Have the plugin decide by a profile from now on."""
        guarded = self._guarded
        if profile != self._profile:
            config = guarded.workspace.parent / "config.yaml"
            config.write_text(_settings(profile, guarded.workspace, guarded.dockerd))
            guarded.plugin.reload()
            assert "is not taken over" not in guarded.plugin.log
            self._profile = profile
        return guarded

    def stop(self) -> None:
        self._cleanup.close()


_RUNNING: Final[dict[str, _Running]] = {}
"""The guarded daemons of this worker, by engine."""


def _stop_running() -> None:
    while _RUNNING:
        _RUNNING.popitem()[1].stop()


def _settings(profile: str, workspace: Path, dockerd: Dockerd) -> str:
    roots = f"[{{path: /workspace}}, {{path: {workspace}}}]" if profile == "devcontainer" else "[]"
    return (
        f"profile: {profile}\nlog: {{level: debug}}\nmounts: {{allow: {roots}}}\n"
        f"data_root: {dockerd.data_root}\n"
    )


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
