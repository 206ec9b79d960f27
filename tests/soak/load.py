"""Mixed load on a guarded dockerd, every answer checked against what the policy says."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.harness.dockerd import IMAGE

TIMEOUT: Final = 15.0
_FORBIDDEN: Final = 403


@dataclass(frozen=True)
class Request:
    """A request; ``rule`` is the rule that denies it, or nothing where it is allowed.

    ``switched`` requests are allowed by one of the two policies that take turns.
    """

    method: str
    path: str
    body: Any = None
    rule: str = ""
    switched: bool = False


def _create(**host_config: Any) -> dict[str, Any]:
    return {"Image": IMAGE, "Cmd": ["true"], "HostConfig": host_config}


ALWAYS: Final = (
    Request("GET", "/v1.41/containers/json?all=1"),
    Request("GET", "/v1.41/images/json"),
    Request("GET", "/_ping"),
    Request("GET", "/version"),
    Request("GET", "/v1.41/containers/running/json"),
    Request("GET", "/v1.41/volumes", rule="sections.operation", switched=True),
    Request("GET", "/v1.41/swarm", rule="sections.operation"),
    Request(
        "POST", "/v1.41/containers/create", _create(Privileged=True), rule="privileged.container"
    ),
    Request("POST", "/v1.41/containers/create", _create(Binds=["/etc:/x"]), rule="mounts.source"),
    Request("POST", "/v1.41/containers/create", _create(CapAdd=["ALL"]), rule="capabilities.add"),
)


@dataclass
class Tally:
    """What came of the requests: counts, the wrong answers in words, and seconds each took."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    total: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())


class Load:
    """Sends requests from several threads at a steady rate until stopped.

    ``allowed_now`` says which answers to switched requests are right: both, while the policy
    changes.
    """

    def __init__(
        self, docker: Path, rate: float, threads: int, allowed_now: Callable[[], set[bool]]
    ) -> None:
        self._docker = docker
        self._pause = threads / rate
        self._allowed_now = allowed_now
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.tally = Tally()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait for what is under way."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(TIMEOUT * 2)
            assert not thread.is_alive(), "a request hangs"

    def _run(self, number: int) -> None:
        connection = _Connection(self._docker)
        for request in self._plan(number):
            if self._stopped.is_set():
                break
            before = self._allowed_now() if request.switched else {not request.rule}
            started = time.monotonic()
            try:
                status, text = connection.send(request)
            except (OSError, http.client.HTTPException) as error:
                connection = _Connection(self._docker)
                status, text = 0, type(error).__name__
            taken = time.monotonic() - started
            right = before | (self._allowed_now() if request.switched else set())
            self._count(request, status, text, right, taken)
            self._stopped.wait(max(0.0, self._pause - taken))
        connection.close()

    def _plan(self, number: int) -> Iterator[Request]:
        for turn in itertools.count():
            yield from ALWAYS[turn % len(ALWAYS) :]
            yield from ALWAYS[: turn % len(ALWAYS)]
            name = f"soak-{number}-{turn}"
            path = f"/v1.41/containers/create?name={name}"
            yield Request("POST", path, _create(NetworkMode="none"))
            yield Request("DELETE", f"/v1.41/containers/{name}?force=1")

    def _count(
        self, request: Request, status: int, text: str, right: set[bool], taken: float
    ) -> None:
        denied = status == _FORBIDDEN
        allowed = not denied
        is_right = status != 0 and allowed in right and (allowed or request.rule in text)
        outcome = "denied" if denied else "allowed" if status else "failed"
        if denied and "request.engine" in text:
            outcome = "denied without engine"
        with self._lock:
            self.tally.outcomes[outcome] += 1
            self.tally.slowest = max(self.tally.slowest, taken)
            self.tally.total += taken
            if not is_right:
                self.tally.wrong.append(f"{request.method} {request.path}: {status} {text[:300]}")


class _Connection:
    """A kept-alive connection to dockerd."""

    def __init__(self, docker: Path) -> None:
        self._http = http.client.HTTPConnection("docker", timeout=TIMEOUT)
        self._http.sock = socket.socket(socket.AF_UNIX)
        self._http.sock.settimeout(TIMEOUT)
        self._http.sock.connect(str(docker))
        self._http.auto_open = 0

    def send(self, request: Request) -> tuple[int, str]:
        body = None if request.body is None else json.dumps(request.body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._http.request(request.method, request.path, body, headers)
        response = self._http.getresponse()
        return response.status, response.read().decode(errors="replace")

    def close(self) -> None:
        self._http.close()
