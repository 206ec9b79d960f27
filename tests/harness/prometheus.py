"""Prometheus and promtool out of Debian's package, unpacked into the cache as the engines are."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from tests.harness.engines import CACHE, unpack
from tests.harness.plugin import wait_for

_SUITE: Final = "bookworm"


@dataclass(frozen=True, slots=True)
class Programs:
    """The server, and the tool that checks rules."""

    prometheus: Path
    promtool: Path


def prepare() -> Programs:
    """The programs, fetched unless that was done before."""
    folder = CACHE / "prometheus"
    unpack(_SUITE, ("prometheus",), folder)
    return Programs(folder / "usr/bin/prometheus", folder / "usr/bin/promtool")


class Prometheus:
    """A running server on a loopback port."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **parameters: str) -> Any:
        """Ask its API; the ``data`` of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = orjson.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now."""
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = self.get("alerts")["alerts"]
        return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}

    def is_ready(self) -> bool:
        try:
            self.query("vector(1)")
        except (OSError, AssertionError, orjson.JSONDecodeError):
            return False
        return True


@contextmanager
def running_prometheus(folder: Path, config: str) -> Iterator[Prometheus]:
    """Run a server with a configuration; its data and log lie in a folder."""
    file = folder / "prometheus.yml"
    file.write_text(config)
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                prepare().prometheus,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Prometheus(port)
        wait_for(server.is_ready, "Prometheus", 30)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
