"""A private OPA: one process that serves one bundle on a unix socket of its own.

The socket lies in a folder that only this user can enter, and OPA dies with the process that
started it.
"""

from __future__ import annotations

import http
import subprocess
import time
from pathlib import Path
from typing import Final

from authz_plugin.engine.binary import Opa
from authz_plugin.engine.transport import UnixTransport
from authz_plugin.errors import EngineError, EngineSetupError
from authz_plugin.policy import Bundle
from authz_plugin.processes import begin_child

_START_LIMIT: Final = 15.0
_STOP_LIMIT: Final = 5.0
_HEALTH_LIMIT: Final = 1.0


class ChildOpa:
    """A running OPA process. Make one with ``start``."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path, bundle: Bundle) -> None:
        self._process = process
        self._transport = UnixTransport(socket, {})
        self.socket = socket
        self.bundle = bundle

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the process is there, in whatever state."""
        return self._process.poll() is None

    def is_healthy(self) -> bool:
        """Whether OPA answers and has its bundle."""
        try:
            status, _ = self._transport.exchange(
                "GET", "/health", b"", time.monotonic() + _HEALTH_LIMIT
            )
        except EngineError:
            return False
        return status == http.HTTPStatus.OK

    def kill(self) -> None:
        """End OPA now."""
        self._process.kill()
        self._process.wait()
        self._transport.close()

    def stop(self) -> None:
        """Let OPA finish what it is doing, then make sure that it is gone."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._transport.close()
        self.socket.unlink(missing_ok=True)


def start(opa: Opa, bundle: Bundle, socket: Path) -> ChildOpa:
    """Start OPA on a bundle and wait until it answers; raises ``EngineSetupError``."""
    process = subprocess.Popen(
        [
            str(opa.path),
            "run",
            "--server",
            f"--addr=unix://{socket}",
            "--unix-socket-perm=600",
            "--skip-version-check",
            "--log-level=error",
            "--optimize-store-for-read-speed",
            "--shutdown-grace-period=2",
            "--bundle",
            str(bundle.folder),
        ],
        stdin=subprocess.DEVNULL,
        preexec_fn=begin_child,  # noqa: PLW1509 - the supervisor has one thread
        start_new_session=True,
    )
    child = ChildOpa(process, socket, bundle)
    end = time.monotonic() + _START_LIMIT
    while not child.is_healthy():
        if not child.is_running():
            raise EngineSetupError(f"OPA ended at its start with status {process.returncode}")
        if time.monotonic() > end:
            child.stop()
            raise EngineSetupError(f"OPA did not come up within {_START_LIMIT:g} s")
        time.sleep(0.02)
    return child
