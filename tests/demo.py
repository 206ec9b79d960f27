"""``make demo``: runs Docker commands on a temporary dockerd with the plugin.

The daemon and the plugin have folders and sockets of their own, which are removed at the end.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, Engine, installed, prepare
from tests.harness.plugin import running_plugin
from tests.real.conftest import guard_with

NAME: Final = "opa-authz"
SOCKET: Final = Path(f"/run/docker/plugins/{NAME}.sock")


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and whether it must be allowed."""

    command: str
    allowed: bool


STEPS: Final = (
    Step(f"docker run --rm {IMAGE} echo hello from an ordinary container", allowed=True),
    Step(f"docker run --rm --privileged {IMAGE} id", allowed=False),
    Step(f"docker run --rm --network host {IMAGE} id", allowed=False),
    Step(f"docker run --rm -v /:/host {IMAGE} ls /host", allowed=False),
    Step(f"docker run --rm -v /var/run/docker.sock:/var/run/docker.sock {IMAGE} id", allowed=False),
    Step(f"docker run --rm --cap-add SYS_ADMIN {IMAGE} id", allowed=False),
)


def main() -> int:
    """Run the demo; return 0 if every command had the expected result."""
    if os.geteuid() != 0:
        click.echo("The demo starts a dockerd, which needs root: sudo make demo", err=True)
        return 2
    if SOCKET.exists():
        click.echo(f"{SOCKET} is there: the demo does not touch a plugin in use", err=True)
        return 2
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-demo-")))
        settings = folder / "config.yaml"
        settings.write_text("profile: production\n")
        _print("Starting the plugin with its own OPA ...")
        plugin = cleanup.enter_context(
            running_plugin(
                folder,
                f"--config={settings}",
                socket_=SOCKET,
                environment={"OPA_AUTHZ_LOG_FORMAT": "text"},
            )
        )
        click.echo(plugin.log.partition("Next,")[0].rstrip())
        engine = installed() or prepare(NEWEST)
        _print(f"Starting a scratch dockerd ({_version(engine)}) that asks it ...")
        dockerd = cleanup.enter_context(scratch_dockerd(engine))
        dockerd.import_image()
        guard_with(dockerd, NAME)
        unexpected = [step for step in STEPS if _run(dockerd, step) != step.allowed]
    _print("Everything that was started is stopped and removed.")
    for step in unexpected:
        click.echo(f"This did not come as it should: {step.command}", err=True)
    return 1 if unexpected else 0


def _version(engine: Engine) -> str:
    shown = subprocess.run(
        [engine.dockerd, "--version"],
        env=engine.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.strip()


def _run(dockerd: Dockerd, step: Step) -> bool:
    click.echo(f"\n{click.style('$', bold=True)} {click.style(step.command, bold=True)}")
    done = dockerd.docker(*shlex.split(step.command)[1:], check=False)
    output = (done.stdout + done.stderr).partition("See 'docker run")[0].partition("Run 'docker")[0]
    allowed = done.returncode == 0
    click.secho(output.strip(), fg="green" if allowed else "red")
    return allowed


def _print(text: str) -> None:
    click.secho(f"\n{text}", dim=True)


if __name__ == "__main__":
    sys.exit(main())
