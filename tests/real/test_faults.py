"""Faults around a guarded dockerd, and what its users see: ``docs/explanation/reliability.md``."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.harness.client import Response, call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.in_process import run_command
from tests.harness.plugin import Plugin, running_plugin, wait_for
from tests.real.conftest import TESTED, guard_with

PLUGINS: Final = Path("/run/docker/plugins")
MAY: Final = "/containers/json"
MUST_NOT: Final = "/volumes"
GIVES_UP: Final = 20.0
"""Seconds after which dockerd has stopped asking a plugin that is not there: 1+2+4+8 and some."""

PATIENCE: Final = 10.0
"""Seconds that a request may take while its plugin comes back: the start, and dockerd's pause."""


@pytest.fixture
def name() -> str:
    return f"opa-authz-{os.getpid()}-{time.monotonic_ns()}"


@contextmanager
def plugin_of(name: str, folder: Path) -> Iterator[Plugin]:
    folder.mkdir(exist_ok=True)
    with running_plugin(folder, socket_=PLUGINS / f"{name}.sock") as plugin:
        yield plugin


def status(dockerd: Dockerd, path: str) -> int:
    return call(dockerd.socket, "GET", path).status


class Asking:
    """Clients that go on asking dockerd for what may pass and what must not."""

    def __init__(self, dockerd: Dockerd) -> None:
        self.may: list[tuple[int, float]] = []
        self.must_not: list[tuple[int, float]] = []
        self._dockerd = dockerd
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=asked)
            for asked in ((MAY, self.may), (MUST_NOT, self.must_not))
        ]

    def _ask(self, path: str, seen: list[tuple[int, float]]) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                answered = status(self._dockerd, path)
            except OSError:
                answered = 0
            seen.append((answered, time.monotonic() - started))
            time.sleep(0.02)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("engine", TESTED)
def test_clients_wait_while_a_killed_plugin_comes_back_and_are_not_refused(
    tmp_path: Path, name: str, engine: str
) -> None:
    with scratch_dockerd(prepare(engine)) as dockerd:
        asking = Asking(dockerd)
        with plugin_of(name, tmp_path / "first") as plugin:
            guard_with(dockerd, name)
            asking.start()
            time.sleep(0.5)
            plugin.process.kill()
            plugin.process.wait()
        with plugin_of(name, tmp_path / "second"):
            back = len(asking.may)
            wait_for(lambda: len(asking.may) > back + 10, "answers", GIVES_UP)
            asking.stop()
    assert {answered for answered, _ in asking.must_not} <= {403, 500}
    statuses = [answered for answered, _ in asking.may]
    assert sorted(set(statuses) - {200}) in ([], [403], [500])
    assert statuses.count(200) >= len(statuses) - 1  # one may have been in its hands
    longest = max(taken for _, taken in asking.may + asking.must_not)
    assert longest < PATIENCE, longest


def test_without_its_plugin_dockerd_refuses_after_its_retries_and_doctor_tells(
    tmp_path: Path, name: str
) -> None:
    with scratch_dockerd(prepare(NEWEST)) as dockerd:
        with plugin_of(name, tmp_path):
            guard_with(dockerd, name)
        answers: dict[str, Response] = {}

        def asking(path: str) -> None:
            answers[path] = call(dockerd.socket, "GET", path)

        threads = [threading.Thread(target=asking, args=(path,)) for path in (MAY, MUST_NOT)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        host = f"--host=unix://{dockerd.socket}"
        doctor = run_command(tmp_path, "doctor", host, "--profile=production", "--json")
        for thread in threads:
            thread.join()
        assert 10 < time.monotonic() - started < GIVES_UP
        assert {answer.status for answer in answers.values()} == {500}
        assert all(f"plugin {name} failed" in answer.text for answer in answers.values())
    found = {finding["id"]: finding for finding in json.loads(doctor.stdout)["findings"]}
    assert doctor.returncode == 3
    assert found["enforcement"]["what"] == f"plugin {name} gives no answer"
    assert found["plugin.missing"]["severity"] == "critical"
    assert found["policy.mode"]["severity"] == "ok"
    assert found["engine.grpc"]["severity"] == "critical"  # this dockerd serves it


@pytest.mark.parametrize("engine", TESTED)
def test_a_reload_of_dockerd_leaves_the_guard_on_with_the_plugin_up_or_down(
    tmp_path: Path, name: str, engine: str
) -> None:
    config = {"authorization-plugins": [name]}
    with scratch_dockerd(prepare(engine)) as dockerd:
        with plugin_of(name, tmp_path / "first"):
            guard_with(dockerd, name)
            dockerd.reload(config)
            time.sleep(0.5)
            assert (status(dockerd, MAY), status(dockerd, MUST_NOT)) == (200, 403)
        dockerd.reload(config)
        time.sleep(0.5)
        with plugin_of(name, tmp_path / "second"):
            assert (status(dockerd, MAY), status(dockerd, MUST_NOT)) == (200, 403)


def test_dockerd_and_its_plugin_boot_in_either_order(tmp_path: Path, name: str) -> None:
    config = {"authorization-plugins": [name]}
    started: list[tuple[int, int]] = []

    def boot() -> None:
        with scratch_dockerd(prepare(NEWEST), config) as dockerd:
            started.append((status(dockerd, MAY), status(dockerd, MUST_NOT)))

    thread = threading.Thread(target=boot)
    thread.start()
    time.sleep(2)  # dockerd looks for the plugin meanwhile, in vain
    assert not started
    with plugin_of(name, tmp_path):
        thread.join(60)
    assert started == [(200, 403)]


def test_containers_outlive_dockerd_and_a_plugin_that_is_late(tmp_path: Path, name: str) -> None:
    """``live-restore``: dockerd waits for the plugin before it serves anybody, they run on."""
    config = {"live-restore": True}
    with scratch_dockerd(prepare(NEWEST), config) as dockerd:
        dockerd.import_image()
        run = ["run", "--detach", "--name=lasting", "--network=none", IMAGE, "sleep", "1000"]
        container = dockerd.docker(*run).stdout.strip()
        with plugin_of(name, tmp_path / "first"):
            dockerd.reload({**config, "authorization-plugins": [name]})
            wait_for(lambda: status(dockerd, MUST_NOT) == 403, "dockerd to ask", GIVES_UP)
            before = pid_of(dockerd, container)
            dockerd.stop()
        assert Path(f"/proc/{before}").exists()
        restart = threading.Thread(target=dockerd.start)
        restart.start()
        time.sleep(1)
        with plugin_of(name, tmp_path / "second"):
            restart.join(60)
            assert pid_of(dockerd, container) == before
            assert status(dockerd, MUST_NOT) == 403
            dockerd.docker("stop", "--time=0", container)


def pid_of(dockerd: Dockerd, container: str) -> int:
    shown = dockerd.docker("inspect", "--format={{.State.Pid}}", container)
    return int(shown.stdout)
