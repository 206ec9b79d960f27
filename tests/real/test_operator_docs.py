"""The commands of the checklists and of troubleshooting, run as they stand in the docs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.dockerd import IMAGE
from tests.harness.engines import NEWEST
from tests.real.conftest import Guard, Guarded

DOCS = Path(__file__).parents[2] / "docs/how-to"
FENCE = re.compile(r"^```sh (production|devcontainer)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str, str]]:
    """Profile, command and what must come of it."""
    found = []
    for name in ("attack", "checklists", "compliance", "troubleshooting"):
        for profile, lines in FENCE.findall((DOCS / f"{name}.md").read_text()):
            for line in lines.splitlines():
                command, _, outcome = line.rpartition("# ")
                found.append((profile, command.strip(), outcome))
    return found


@pytest.mark.parametrize(("profile", "command", "outcome"), commands())
def test_a_command_of_the_docs_does_what_the_docs_say(
    guard: Guard, profile: str, command: str, outcome: str
) -> None:
    guarded = guard(NEWEST, profile)
    done = run(guarded, command)
    if outcome == "allowed":
        assert done.returncode == 0, done.stderr
    elif outcome.startswith("denied: "):
        assert "authorization denied by plugin" in done.stderr
        assert f"[{outcome.removeprefix('denied: ')}" in done.stderr
    elif outcome.startswith("ends with "):
        assert done.returncode == int(outcome.removeprefix("ends with ")), done.stdout + done.stderr
    else:
        assert done.stdout == outcome


def run(guarded: Guarded, command: str) -> subprocess.CompletedProcess[str]:
    engine = guarded.dockerd.engine
    programs = f"{engine.docker.parent}:{Path(sys.executable).parent}"
    return subprocess.run(
        ["bash", "-c", command],
        env={
            **engine.environment,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "DOCKER_HOST": f"unix://{guarded.dockerd.socket}",
            "DOCKER_CONFIG": str(guarded.dockerd.folder / "client"),
            "OPA_AUTHZ_CONFIG": str(guarded.workspace.parent / "config.yaml"),
            "SOCKET": str(guarded.dockerd.socket),
            "WORKSPACE": str(guarded.workspace),
            "CONTAINER": "running",
            "IMAGE": IMAGE,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
