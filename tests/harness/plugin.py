"""The plugin as its users run it: the installed command, as a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import orjson

_START_LIMIT: Final = 60.0  # rules of the operator are compiled before


class Plugin:
    """A running ``opa-authz serve``."""

    def __init__(self, process: subprocess.Popen[bytes], socket_: Path, log: Path) -> None:
        self.process = process
        self.socket = socket_
        self.log_file = log

    def post(self, path: str, message: Any = b"") -> Any:
        """Send a message as dockerd does and read the answer."""
        with Connection(self.socket) as connection:
            return connection.post(path, message)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def records(self) -> list[dict[str, Any]]:
        """The decision records that were logged."""
        lines = [line for line in self.log.splitlines() if '"source":"opa-authz"' in line]
        lines = [line for line in lines if '"decision_id"' in line]
        return [orjson.loads(line) for line in lines]

    def reload(self) -> None:
        """Have it take over a changed policy, and wait until it says how that went."""

        def notes() -> int:
            return self.log.count("is in force") + self.log.count("is not taken over")

        before = notes()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: notes() > before, "the plugin to take note of SIGHUP", _START_LIMIT)

    def stop(self) -> int:
        """Stop it in good order; its exit status."""
        self.process.terminate()
        return self.process.wait(30)


class Connection:
    """A kept-alive connection to a unix socket, as dockerd's."""

    def __init__(self, socket_: Path, timeout: float = 10) -> None:
        self._http = http.client.HTTPConnection("plugin.moby.localhost", timeout=timeout)
        self._http.sock = socket.socket(socket.AF_UNIX)
        self._http.sock.settimeout(timeout)
        self._http.sock.connect(str(socket_))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def post(self, path: str, message: Any = b"") -> Any:
        """Post bytes, or anything else as JSON; the answer, decoded."""
        body = message if isinstance(message, bytes) else orjson.dumps(message)
        self._http.request("POST", path, body)
        response = self._http.getresponse()
        content = response.read()
        assert response.status == http.client.OK, (response.status, content)
        return orjson.loads(content)


@contextmanager
def running_plugin(
    folder: Path,
    *options: str,
    socket_: Path | None = None,
    environment: Mapping[str, str] | None = None,
    data_root: Path | None = None,
) -> Iterator[Plugin]:
    """Run ``opa-authz serve`` with options; its socket and log lie in a folder.

    ``data_root`` is that of the dockerd that it guards.
    """
    socket_ = socket_ or folder / "plugin.sock"
    log = folder / "plugin.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("opa-authz"), "serve", f"--socket={socket_}", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "OPA_AUTHZ_METRICS_LISTEN": "off",
                **({} if data_root is None else {"OPA_AUTHZ_DATA_ROOT": str(data_root)}),
                **(environment or {}),
            },
        )
    plugin = Plugin(process, socket_, log)
    try:
        wait_for(
            lambda: "guards the Docker API" in plugin.log or process.poll() is not None,
            "the plugin to serve",
            _START_LIMIT,
        )
        assert process.poll() is None, plugin.log
        yield plugin
    finally:
        if process.poll() is None:
            plugin.stop()


def wait_for(condition: Any, what: str, limit: float = 10.0, pause: float = 0.02) -> None:
    """Wait until a condition holds; ``pause`` is the seconds between two looks."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit:g} s for {what}")
        time.sleep(pause)


def freeze(pid: int) -> None:
    """Stop a process, and wait until none of its threads runs: SIGSTOP reaches them one by one."""
    os.kill(pid, signal.SIGSTOP)

    def is_stopped() -> bool:
        threads = (stat.read_text() for stat in Path(f"/proc/{pid}/task").glob("*/stat"))
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in threads)

    wait_for(is_stopped, f"process {pid} to stop")


def descendants(pid: int) -> list[int]:
    """The processes below a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                child = int(stat.parent.name)
                found += [child, *descendants(child)]
    return found


def children(pid: int, program: str) -> list[int]:
    """The running children and grandchildren of a process that run a program."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent = rest.split()[:2]
        if int(parent) == pid and state != "Z":
            child = int(stat.parent.name)
            found += [child] if name == program else []
            found += children(child, program)
    return found
