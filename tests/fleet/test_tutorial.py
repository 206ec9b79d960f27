"""The tutorial for platform engineers, run as it stands in the docs, with a real registry."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.harness.bundle_services import running_registry
from tests.harness.pages import Step, steps
from tests.harness.prometheus import free_port

PAGE: Final = Path(__file__).parents[2] / "docs/tutorial/platform-engineer.md"
REGISTRY: Final = "127.0.0.1:5000"


class Reader:
    """A reader of the tutorial, with a folder; ``docker`` means the registry."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._registry = ExitStack()
        self._port = free_port()

    def run(self, step: Step) -> subprocess.CompletedProcess[str]:
        if step.command.startswith("docker run "):
            self._registry.enter_context(running_registry(self._folder / "registry", self._port))
        elif step.command.startswith("docker stop "):
            self._registry.close()
        elif not step.command.startswith("docker rm "):
            return self._shell(step.command.replace(REGISTRY, f"127.0.0.1:{self._port}"))
        return subprocess.CompletedProcess(step.command, 0, "")

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        done.stdout = done.stdout.replace(f"127.0.0.1:{self._port}", REGISTRY)
        return done

    def close(self) -> None:
        self._registry.close()
        for file in self._folder.glob("*.pid"):
            subprocess.run(["kill", file.read_text().strip()], check=False, capture_output=True)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.close()


def test_every_command_of_the_tutorial_does_what_the_page_says(reader: Reader) -> None:
    for step in steps(PAGE):
        done = reader.run(step)
        assert done.returncode == step.status, f"{step.command}\n{done.stdout}"
        assert step.shows(done.stdout), f"{step.command}\n{done.stdout}"
