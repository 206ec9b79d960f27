"""The front of dockerd's socket: HAProxy with the deployed configuration and its unit's rights."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness.haproxy import prepare
from tests.harness.plugin import wait_for

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
USER: Final = 64017
"""The user and the group that the front runs as; no account has this number."""

_ENGINE: Final = "/run/docker-engine/docker.sock"
_TLS_ENGINE: Final = "127.0.0.1:23760"
_NONE: Final[Mapping[str, str]] = {}


class Front:
    """A running front; ``sockets`` are what systemd would hold for it."""

    def __init__(self, folder: Path, sockets: Sequence[socket.socket]) -> None:
        self.folder = folder
        self.log_file = folder / "front.log"
        self._sockets = sockets
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that serves connections, the newest if there are several."""
        return self.workers()[-1]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def workers(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def refusals(self) -> list[str]:
        """The records of refused connections."""
        return re.findall(r"^refused .*", self.log_file.read_text(), re.MULTILINE)

    def start(self) -> None:
        program, libraries = prepare()
        unit = (DEPLOY / "systemd/opa-authz-front.service").read_text()
        for directive in ("CapabilityBoundingSet=", "NoNewPrivileges=yes", "LimitNOFILE=20000"):
            assert f"\n{directive}\n" in unit
        assert "ExecStart=/usr/sbin/haproxy -Ws -f /etc/opa-authz-front\n" in unit
        confine = (
            f"setpriv --reuid={USER} --regid={USER} --clear-groups --bounding-set=-all "
            "--inh-caps=-all --no-new-privs"
        )
        passed = [s.fileno() for s in self._sockets]
        moves = " ".join(f"{number}<&{fd}" for number, fd in enumerate(passed, 3))
        script = f"ulimit -n 20000; exec {moves}; exec {confine} {program} -Ws -f {self.folder}/cfg"
        before = self._loaded()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", script],
                env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": libraries},
                stdout=log,
                stderr=log,
                pass_fds=passed,
            )
        process = self._process
        wait_for(lambda: self._loaded() > before or process.poll() is not None, "HAProxy", 30)
        assert process.poll() is None, self.log_file.read_text()

    def reload(self) -> None:
        """As ``systemctl reload`` does: a new process serves new connections."""
        assert self._process is not None
        before = self._loaded()
        self._process.send_signal(signal.SIGUSR2)
        wait_for(lambda: self._loaded() > before, "HAProxy to reload", 30)

    def kill(self) -> None:
        """Kill every process of it at once."""
        assert self._process is not None
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(20)

    def stop(self) -> None:
        if self._process is not None and self.is_running:
            self._process.terminate()
            self._process.wait(20)

    def _loaded(self) -> int:
        return self.log_file.read_text().count("Loading success") if self.log_file.exists() else 0


@contextmanager
def running_front(
    folder: Path,
    engine: Path,
    sockets: Sequence[socket.socket],
    tls_engine: str = "",
    times: Mapping[str, str] = _NONE,
) -> Iterator[Front]:
    """Run the front of a dockerd that listens on ``engine`` and, with TLS, on ``tls_engine``.

    ``times`` replaces times of the configuration. ``folder`` becomes the front's own.
    """
    (folder / "cfg").mkdir(parents=True)
    _configure(folder, "front.cfg", {_ENGINE: str(engine), **times})
    if tls_engine:
        _configure(folder, "tls.cfg", {_TLS_ENGINE: tls_engine})
    front = Front(folder, sockets)
    front.start()
    try:
        yield front
    finally:
        front.stop()


def _configure(folder: Path, name: str, replaced: Mapping[str, str]) -> None:
    text = (DEPLOY / "haproxy" / name).read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "cfg" / name).write_text(text)


@dataclass(frozen=True)
class Places:
    """Sockets in a folder that every user may enter, as systemd makes them.

    ``engine`` is for dockerd to listen on, in a folder of it and the front; ``clients`` is the
    front's.
    """

    folder: Path
    engine: socket.socket
    clients: socket.socket

    @property
    def engine_path(self) -> Path:
        return self.folder / "engine/docker.sock"

    @property
    def clients_path(self) -> Path:
        return self.folder / "docker.sock"


@contextmanager
def places() -> Iterator[Places]:
    """Make the sockets, and remove them and their folder at the end."""
    folder = Path(tempfile.mkdtemp(prefix="opa-authz-front-", dir="/run"))
    try:
        folder.chmod(0o755)
        (folder / "engine").mkdir(mode=0o750)
        os.chown(folder / "engine", 0, USER)
        path = folder / "engine/docker.sock"
        with listening(path) as engine, listening(folder / "docker.sock") as clients:
            os.chown(path, 0, USER)
            yield Places(folder, engine, clients)
    finally:
        shutil.rmtree(folder)


def listening(path: Path) -> socket.socket:
    """A listening unix socket, as systemd makes it."""
    opened = socket.socket(socket.AF_UNIX)
    opened.bind(str(path))
    path.chmod(0o660)
    opened.listen(4096)
    return opened


def without_http2() -> dict[str, str]:
    """The environment of dockerd by the drop-in that closes native gRPC."""
    text = (DEPLOY / "systemd/docker.service.d/no-http2.conf").read_text()
    (setting,) = re.findall(r"^Environment=(.*)", text, re.MULTILINE)
    name, _, value = setting.partition("=")
    return {name: value}
