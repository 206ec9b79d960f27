"""OPA as a child process that listens on its own unix socket.

If the plugin runs as root, OPA runs as a user id that no account and no other process has, because
it processes untrusted input. Its socket is in a folder that only the plugin's user can enter. The
kernel kills OPA when its parent process ends.
"""

from __future__ import annotations

import contextlib
import http
import os
import pwd
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from authz_plugin.engine.binary import Opa
from authz_plugin.engine.opa import DECISION_ID_HEADER
from authz_plugin.engine.transport import UnixTransport
from authz_plugin.errors import EngineError, EngineSetupError
from authz_plugin.processes import NO_LIMITS, begin_child

_SOCKET: Final = "opa.sock"
_START_LIMIT: Final = 15.0
_STOP_LIMIT: Final = 5.0
_HEALTH_LIMIT: Final = 1.0
_SPARE_UIDS: Final = range(64700, 64800)
_DECISION_LOG: Final = (
    "--set=decision_logs.console=true",
    "--set=decision_logs.mask_decision=/docker/authz/journal/mask",
    f"--set=decision_logs.request_context.http.headers[0]={DECISION_ID_HEADER}",
)


class ChildOpa:
    """A running OPA process, started with ``start``."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path, bundle: Path) -> None:
        self._process = process
        self._transport = UnixTransport(socket, {})
        self.socket = socket
        self.bundle = bundle

    def get(self, path: str, limit: float = _HEALTH_LIMIT) -> tuple[int, bytes]:
        """The status and body of the answer to a GET; raises ``EngineError`` if there is none
        within ``limit`` seconds."""
        return self._transport.exchange("GET", path, b"", time.monotonic() + limit)

    def post(self, path: str, question: bytes, limit: float) -> tuple[int, bytes]:
        """As ``get``, for a POST with a body of JSON."""
        return self._transport.exchange("POST", path, question, time.monotonic() + limit)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the process has not ended. It may not respond; see ``is_healthy``."""
        return self._process.poll() is None

    def is_healthy(self) -> bool:
        """Whether OPA accepts a new connection and answers ``/health`` with status 200."""
        try:
            status, _ = self._transport.exchange(
                "GET", "/health", b"", time.monotonic() + _HEALTH_LIMIT
            )
        except EngineError:
            return False
        finally:
            self._transport.close()
        return status == http.HTTPStatus.OK

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        self._transport.close()
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if OPA has not ended within five seconds."""
        self._transport.close()
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start(opa: Opa, bundle: Path, *, decision_log: bool = False) -> ChildOpa:
    """Start OPA with the bundle in the folder ``bundle`` and wait until it is healthy.

    With ``decision_log``, OPA logs its decisions to standard error under the plugin's decision ids,
    without the fields that the policy masks (``docker.authz.journal``). The socket is created in
    the parent folder of ``bundle``, which must contain nothing else. Raises ``EngineSetupError``.
    """
    log = _DECISION_LOG if decision_log else ()
    return run(opa, bundle, [*log, "--bundle", bundle.name])


def run(
    opa: Opa,
    content: Path,
    arguments: Sequence[str],
    log: Path | None = None,
    limits: Mapping[int, int] = NO_LIMITS,
) -> ChildOpa:
    """Start OPA with arguments in the parent folder of ``content`` and wait until it is healthy.

    Standard output and error go to ``log``, or to those of this process. ``limits`` are those of
    ``begin_child``. Raises ``EngineSetupError``.
    """
    socket = content.parent / _SOCKET
    try:
        process = _spawn(opa, content.parent, arguments, log, limits)
    except OSError as error:
        raise EngineSetupError(f"OPA cannot be started: {error}") from error
    child = ChildOpa(process, socket, content)
    end = time.monotonic() + _START_LIMIT
    while not child.is_healthy():
        if not child.is_running():
            raise EngineSetupError(
                f"OPA ended at its start with status {process.returncode}{_last_line(log)}"
            )
        if time.monotonic() > end:
            child.stop()
            raise EngineSetupError(f"OPA did not come up within {_START_LIMIT:g} s")
        time.sleep(0.02)
    return child


def _spawn(
    opa: Opa, home: Path, arguments: Sequence[str], log: Path | None, limits: Mapping[int, int]
) -> subprocess.Popen[bytes]:
    (home / _SOCKET).unlink(missing_ok=True)
    with contextlib.ExitStack() as cleanup:
        program = os.open(opa.path, os.O_RDONLY | os.O_CLOEXEC)
        cleanup.callback(os.close, program)
        output = None if log is None else cleanup.enter_context(log.open("ab"))
        _link_program(home / "opa", program)
        return subprocess.Popen(
            [
                "./opa",
                "run",
                "--server",
                f"--addr=unix://{_SOCKET}",
                "--unix-socket-perm=600",
                "--skip-version-check",
                "--log-level=error",
                "--optimize-store-for-read-speed",
                "--shutdown-grace-period=2",
                *arguments,
            ],
            cwd=home,
            pass_fds=[program],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(begin_child, limits),  # noqa: PLW1509 - the supervisor has one thread
            start_new_session=True,
            **_unused_user(home),
        )


def _last_line(log: Path | None) -> str:
    """What OPA wrote last, for a message; empty if it wrote nothing or to this process's output."""
    lines = [] if log is None else log.read_text(errors="replace").splitlines()
    return f": {lines[-1]}" if lines else ""


def _link_program(link: Path, program: int) -> None:
    """Link to an open program, because another user may not be able to enter its folder."""
    link.unlink(missing_ok=True)
    link.symlink_to(f"/proc/self/fd/{program}")


def _unused_user(home: Path) -> dict[str, Any]:
    """The arguments of ``Popen`` for an unused user id; empty if this process is not root.

    The user becomes the owner of ``home``."""
    if os.geteuid() != 0:
        return {}
    uid = next(_spare_uids())
    for path in (home, *home.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)
    return {"user": uid, "group": uid, "extra_groups": []}


def _spare_uids() -> Iterator[int]:
    accounts = {account.pw_uid for account in pwd.getpwall()}
    processes = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            processes.add(folder.stat().st_uid)
        except FileNotFoundError:
            continue
    yield from (uid for uid in _SPARE_UIDS if uid not in accounts | processes)
