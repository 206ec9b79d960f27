"""Captures the API requests of a Docker command line without a dockerd.

The installed Docker CLI is run with the stub daemon of ``stub_daemon`` as its endpoint.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authz_plugin.errors import SetupError
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation.stub_daemon import StubDaemon

PROGRAMS: Final = frozenset({"docker", "docker-compose"})

_TIMEOUT: Final = 20.0
"""Seconds that a command may take."""

_NEEDS_TERMINAL: Final = re.compile("not a (TTY|terminal)")
"""What the Docker CLI writes for ``-t`` without a terminal, up to 28 and from 29 on."""

_ENDPOINT_OPTION: Final = re.compile(r"-[^-]*[Hc]|--(host|context)(=|$)")
_CONNECTION_VARIABLES: Final = (
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
)

_OMITTED_KEYS: Final = frozenset({"auths", "credHelpers", "credsStore", "currentContext"})


@dataclass(frozen=True, slots=True)
class CapturedRequests:
    """The requests of a command, in their order, and how the command ended.

    ``status`` is its exit status, or None if it was stopped after the time limit. ``stderr`` is
    what it wrote to standard error.
    """

    requests: tuple[Request, ...]
    status: int | None
    stderr: str


def capture(command: Sequence[str], environment: Mapping[str, str]) -> CapturedRequests:
    """Run a Docker command line and return its requests.

    ``environment`` are the variables of the command; those that name an endpoint are replaced.
    Raises ``SetupError`` if there is no such program, if an option names another endpoint, or if
    the command sends no request.
    """
    program = shutil.which(command[0], path=environment.get("PATH"))
    if Path(command[0]).name not in PROGRAMS or program is None:
        raise SetupError(f"{command[0]} is not a Docker CLI that is installed here")
    _reject_endpoint_options(command)
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as name:
        folder = Path(name)
        _copy_config(environment, folder / "config")
        with StubDaemon(str(folder / "docker.sock")) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            try:
                status, stderr = _run([program, *command[1:]], environment, folder)
                if status and _NEEDS_TERMINAL.search(stderr):
                    server.requests.clear()
                    status, stderr = _run_on_terminal([program, *command[1:]], environment, folder)
            finally:
                server.shutdown()
                thread.join()
            requests = tuple(server.requests)
    if not requests:
        raise SetupError(
            f"`{' '.join(command)}` asked nothing of dockerd" + (f": {stderr}" if stderr else "")
        )
    return CapturedRequests(requests, status, stderr)


def _reject_endpoint_options(command: Sequence[str]) -> None:
    """Raise ``SetupError`` for options that name another daemon, which would run the command."""
    for word in command[1:]:
        if not word.startswith("-"):
            return
        if _ENDPOINT_OPTION.match(word):
            raise SetupError(
                f"leave out {word}: it would send the command to a real daemon; explain asks none"
            )


def _copy_config(environment: Mapping[str, str], copy: Path) -> None:
    """Copy the CLI's configuration without credentials, credential helpers and contexts.

    The folder of CLI plugins is linked.
    """
    home = Path(environment.get("HOME") or "/root")
    original = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
    copy.mkdir(mode=0o700)
    try:
        settings = json.loads((original / "config.json").read_text())
    except (OSError, ValueError):
        settings = {}
    kept = {key: value for key, value in settings.items() if key not in _OMITTED_KEYS}
    (copy / "config.json").write_text(json.dumps(kept))
    if (original / "cli-plugins").is_dir():
        (copy / "cli-plugins").symlink_to((original / "cli-plugins").resolve())


def _run_on_terminal(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> tuple[int | None, str]:
    """Run a command that requires a terminal (``-t``) with a pseudo-terminal as standard input."""
    controller, terminal = pty.openpty()
    try:
        return _run(command, environment, folder, terminal)
    finally:
        os.close(controller)
        os.close(terminal)


def _run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    stdin: int = subprocess.DEVNULL,
) -> tuple[int | None, str]:
    variables = {k: v for k, v in environment.items() if k not in _CONNECTION_VARIABLES}
    try:
        done = subprocess.run(
            command,
            env={
                **variables,
                "DOCKER_CONFIG": str(folder / "config"),
                "DOCKER_HOST": f"unix://{folder / 'docker.sock'}",
                "DOCKER_CLI_HINTS": "false",
            },
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be run: {error.strerror}") from error
    return done.returncode, done.stderr.strip()
