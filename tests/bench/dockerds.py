"""Measures the response times of dockerd with and without the plugin."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.harness.client import call, connect
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import prepare
from tests.harness.plugin import running_plugin, wait_for

WITHOUT_PLUGIN: Final = "dockerd alone"
WITH_PLUGIN: Final = "with opa-authz"
ENGINE: Final = "28.5"

_DENIED_PATH: Final = "/_ping?a=1&a=2"
"""A request that every policy denies."""

Waits = dict[str, dict[str, list[float]]]
"""API call → daemon → microseconds of each call."""

_CREATE: Final = json.dumps(
    {
        "Image": IMAGE,
        "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "none", "Memory": 67108864, "PidsLimit": 50},
    }
)


def measure(folder: Path, config: str, calls: int) -> Waits:
    """Make API calls in turns to two daemons, one of which has the plugin."""
    waits: Waits = {}
    with ExitStack() as cleanup:
        daemons = {
            name: cleanup.enter_context(scratch_dockerd(prepare(ENGINE)))
            for name in (WITHOUT_PLUGIN, WITH_PLUGIN)
        }
        for daemon in daemons.values():
            daemon.import_image()
        _start_plugin(daemons[WITH_PLUGIN], folder, config, cleanup)
        clients = {name: connect(daemon.socket) for name, daemon in daemons.items()}
        for turn in range(calls):
            for call, run in _CALLS.items():
                for name, client in clients.items():
                    taken = run(client, turn)
                    waits.setdefault(call, {}).setdefault(name, []).append(taken)
        for client in clients.values():
            client.close()
    return waits


def medians(waits: Waits) -> dict[str, dict[str, float]]:
    """Return the median microseconds by API call and daemon."""
    return {
        call: {name: statistics.median(taken) for name, taken in daemons.items()}
        for call, daemons in waits.items()
    }


def _start_plugin(daemon: Dockerd, folder: Path, config: str, cleanup: ExitStack) -> None:
    name = f"opa-authz-bench-{os.getpid()}"
    socket = Path(f"/run/docker/plugins/{name}.sock")
    file = folder / "guard.yaml"
    file.write_text(config)
    guarded = running_plugin(folder, f"--config={file}", socket_=socket, data_root=daemon.data_root)
    cleanup.enter_context(guarded)
    daemon.reload({"authorization-plugins": [name]})
    wait_for(
        lambda: call(daemon.socket, "GET", _DENIED_PATH).status == http.client.FORBIDDEN,
        "dockerd to ask",
        20,
    )


def _timed(client: http.client.HTTPConnection, method: str, path: str, body: str = "") -> float:
    started = time.perf_counter()
    client.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
    answer = client.getresponse()
    text = answer.read()
    taken = time.perf_counter() - started
    assert answer.status < http.client.BAD_REQUEST, text
    return taken * 1e6


def _ping(client: http.client.HTTPConnection, _: int) -> float:
    return _timed(client, "GET", "/_ping")


def _list(client: http.client.HTTPConnection, _: int) -> float:
    return _timed(client, "GET", "/v1.48/containers/json?all=1")


def _create(client: http.client.HTTPConnection, turn: int) -> float:
    taken = _timed(client, "POST", f"/v1.48/containers/create?name=c{turn}", _CREATE)
    _timed(client, "DELETE", f"/v1.48/containers/c{turn}?force=1")
    return taken


_CALLS: Final[dict[str, Callable[[http.client.HTTPConnection, int], float]]] = {
    "GET /_ping": _ping,
    "GET /containers/json": _list,
    "POST /containers/create": _create,
}
