"""A scratch dockerd: its own data, sockets and process, gone without a trace when it stops."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from tests.harness.client import call
from tests.harness.engines import Engine

IMAGE: Final = "busybox:test"

_PLUGINS: Final = Path("/run/docker/plugins")
_OF_TESTS: Final = re.compile(r"opa-authz-(?:[a-z]+-)?(\d+)[-.]")
_INTERFACES: Final = Path("/sys/class/net")
_SHARED_BRIDGES: Final = frozenset({"docker0", "docker_gwbridge"})
_USERS: Final = Path(tempfile.gettempdir()) / "opa-authz-bridges.lock"
"""Locked by each scratch dockerd, because those that run side by side use the same shared bridges.
The first one writes which of them were not there before; the last one removes these."""
_START_LIMIT: Final = 60.0
_ACTIVATE: Final = 'exec {moves}; export LISTEN_FDS={count} LISTEN_PID=$$; exec "$@"'
_NONE: Final[Mapping[str, str]] = {}
_APPLETS: Final = ("cat", "echo", "false", "id", "ls", "sh", "sleep", "touch", "true")


class Dockerd:
    """A running dockerd."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        config: dict[str, Any],
        flags: Sequence[str],
        *,
        environment: Mapping[str, str] = _NONE,
        activated: Sequence[socket.socket] = (),
    ) -> None:
        self.engine = engine
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.config_file = folder / "daemon.json"
        self.log = folder / "dockerd.log"
        self.data_root = folder / "data"
        self._config = config
        self._flags = flags
        self._environment = environment
        self._activated = activated
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the API answers."""
        self.config_file.write_text(json.dumps(self._config))
        passed = [opened.fileno() for opened in self._activated]
        moves = " ".join(f"{number}<&{fd}" for number, fd in enumerate(passed, 3))
        activate = _ACTIVATE.format(moves=moves, count=len(passed))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(["bash", "-c", activate, "bash"] if passed else []),
                    self.engine.dockerd,
                    f"--config-file={self.config_file}",
                    f"--data-root={self.data_root}",
                    f"--exec-root={self.folder / 'exec'}",
                    f"--pidfile={self.folder / 'pid'}",
                    f"--host=unix://{self.socket}",
                    *(["--host=fd://"] if passed else []),
                    "--iptables=false",
                    "--ip6tables=false",
                    "--ip-masq=false",
                    f"--storage-driver={self.engine.storage_driver}",
                    "--shutdown-timeout=2",
                    *self._flags,
                ],
                env={**self.engine.environment, **self._environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=passed,
            )
        end = time.monotonic() + _START_LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"dockerd did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether the API answers; asked without Docker's CLI, which costs more than dockerd's
        start when it is run again and again."""
        try:
            return call(self.socket, "GET", "/version").status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def stop(self) -> None:
        """Stop it and everything it started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def reload(self, config: dict[str, Any]) -> None:
        """Change daemon.json and send SIGHUP."""
        self._config = config
        self.config_file.write_text(json.dumps(config))
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def docker(
        self, *arguments: str, check: bool = True, text: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the engine's own Docker CLI against it."""
        return subprocess.run(
            [self.engine.docker, *arguments],
            env={**self.engine.environment, **self.client_environment()},
            input=text,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )

    def client_environment(self, *, plugins: Path | None = None) -> dict[str, str]:
        """The variables that lead a client to it; its CLI has the plugins of a folder, or none."""
        config = self.folder / ("client" if plugins is None else "client-with-plugins")
        if plugins is not None:
            config.mkdir(exist_ok=True)
            link = config / "cli-plugins"
            if not link.is_symlink():
                link.symlink_to(plugins)
        return {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(config)}

    def import_image(self, name: str = IMAGE, changes: Sequence[str] = ()) -> None:
        """Make an image of busybox, without a registry."""
        archive = self.folder / "image.tar"
        with tarfile.open(archive, "w") as tar:
            folder = tarfile.TarInfo("bin")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
            tar.add(self.engine.busybox, "bin/busybox")
            for applet in _APPLETS:
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        options = [f"--change={change}" for change in changes]
        self.docker("import", *options, str(archive), name)


@contextmanager
def scratch_dockerd(
    engine: Engine,
    config: dict[str, Any] | None = None,
    *flags: str,
    environment: Mapping[str, str] = _NONE,
    activated: Sequence[socket.socket] = (),
) -> Iterator[Dockerd]:
    """A dockerd in a folder of its own, stopped and removed at the end.

    ``environment`` is added to the engine's. It also listens on ``activated``, which it gets as
    systemd gives it.
    """
    _remove_dead_sockets()
    folder = Path(tempfile.mkdtemp(prefix="opa-authz-dockerd-", dir="/run"))
    daemon = Dockerd(
        engine, folder, config or {}, flags, environment=environment, activated=activated
    )
    with _USERS.open("a+") as users:
        if _is_alone(users):
            users.truncate(0)
            absent = _SHARED_BRIDGES - {interface.name for interface in _INTERFACES.iterdir()}
            users.write(" ".join(absent))
            users.flush()
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.stop()
            _unmount_below(folder)
            users.seek(0)
            shared = users.read().split() if _is_alone(users) else []
            _remove_bridges(folder, frozenset(shared))
            shutil.rmtree(folder, ignore_errors=True)


def _is_alone(users: IO[str]) -> bool:
    """Whether no other scratch dockerd runs; if so, the file is locked for this one alone."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_dead_sockets() -> None:
    """Remove the plugins' sockets that killed test runs left: each of them costs every dockerd
    15 s whenever it lists volumes."""
    for path in _PLUGINS.glob("*.sock"):
        owner = _OF_TESTS.match(path.name)
        if owner is not None and not Path(f"/proc/{owner[1]}").exists():
            path.unlink(missing_ok=True)


def _remove_bridges(folder: Path, shared: frozenset[str]) -> None:
    """Remove what a stopped dockerd leaves of its networks, and those of some shared bridges that
    nobody uses."""
    database = folder / "data/network/files/local-kv.db"
    content = database.read_bytes() if database.exists() else b""
    own = {name.decode() for name in re.findall(rb"br-[0-9a-f]{12}", content)}
    for name in own | shared:
        state = _INTERFACES / name / "operstate"
        if state.exists() and state.read_text().strip() != "up":
            subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)


def _unmount_below(folder: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    points = [line.split()[1] for line in mounts]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
