"""What the front of dockerd's socket costs: latency, and memory with idle connections.

``python -m tests.bench.front`` prints the tables of docs/how-to/native-grpc.md. It needs root.
"""

from __future__ import annotations

import http.client
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.harness.client import call, connect
from tests.harness.dockerd import scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.front import Front, Places, places, running_front
from tests.real.conftest import prepare_content

_REQUESTS: Final = 3000
_IDLE: Final = 1000
_PATHS: Final = ("/_ping", "/containers/json")


def main() -> None:
    with ExitStack() as cleanup:
        at = cleanup.enter_context(places())
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(NEWEST), activated=[at.engine]))
        prepare_content(dockerd)
        front = running_front(at.folder / "front", at.engine_path, [at.clients])
        with front as running:
            _measure_latency(at)
            _measure_memory(at, running)


def _measure_latency(at: Places) -> None:
    print("| Request | Connection | dockerd alone: median, p99 | with the front | to the median |")
    print("|---|---|---|---|---|")
    for path in _PATHS:
        for name, send in (("kept", _kept), ("new", _new)):
            # Turn by turn, so that whatever else the machine does affects both alike.
            requests = [send(at.engine_path, path), send(at.clients_path, path)]
            times: list[list[float]] = [[], []]
            for number in range(_REQUESTS):
                for which in (number % 2, 1 - number % 2):
                    begun = time.perf_counter()
                    requests[which]()
                    times[which].append((time.perf_counter() - begun) * 1e3)
            direct, through = (_figures(found) for found in times)
            cells = [f"{median:.2f} ms, {p99:.2f} ms" for median, p99 in (direct, through)]
            cells.append(f"{through[0] - direct[0]:.2f} ms")
            print(f"| `GET {path}` | {name} | {' | '.join(cells)} |")


def _kept(path: Path, target: str) -> Callable[[], None]:
    connection = connect(path)

    def send() -> None:
        connection.request("GET", target)
        answer = connection.getresponse()
        assert answer.status == http.client.OK
        answer.read()

    return send


def _new(path: Path, target: str) -> Callable[[], None]:
    def send() -> None:
        assert call(path, "GET", target).status == http.client.OK

    return send


def _figures(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[-1]


def _measure_memory(at: Places, front: Front) -> None:
    before = _resident(front)
    with ExitStack() as cleanup:
        for _ in range(_IDLE):
            connection = cleanup.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(at.clients_path))
            connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
            connection.recv(4096)
        print(f"\nHAProxy: {before} MiB, with {_IDLE} idle connections {_resident(front)} MiB")


def _resident(front: Front) -> int:
    status = Path(f"/proc/{front.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


if __name__ == "__main__":
    main()
