"""Load on a dockerd with the plugin; each answer is compared with the expected decision."""

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
    """A request; ``rule`` is the rule that denies it, or empty if it is allowed.

    ``depends_on_policy`` is whether only one of the two policies allows it.
    """

    method: str
    path: str
    body: Any = None
    rule: str = ""
    depends_on_policy: bool = False


def _create(**host_config: Any) -> dict[str, Any]:
    return {"Image": IMAGE, "Cmd": ["true"], "HostConfig": host_config}


REQUESTS: Final = (
    Request("GET", "/v1.41/containers/json?all=1"),
    Request("GET", "/v1.41/images/json"),
    Request("GET", "/_ping"),
    Request("GET", "/version"),
    Request("GET", "/v1.41/containers/running/json"),
    Request("GET", "/v1.41/volumes", rule="sections.operation", depends_on_policy=True),
    Request("GET", "/v1.41/swarm", rule="sections.operation"),
    Request(
        "POST", "/v1.41/containers/create", _create(Privileged=True), rule="privileged.container"
    ),
    Request("POST", "/v1.41/containers/create", _create(Binds=["/etc:/x"]), rule="mounts.source"),
    Request("POST", "/v1.41/containers/create", _create(CapAdd=["ALL"]), rule="capabilities.add"),
)


@dataclass
class Counts:
    """The numbers of outcomes, the wrong answers as text, and the seconds of the requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    total: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())


class Load:
    """Sends requests from several threads at a steady rate until stopped.

    ``allowed_now`` returns the accepted answers to requests that depend on the policy: both of
    them while it changes.
    """

    def __init__(
        self, docker: Path, rate: float, threads: int, allowed_now: Callable[[], set[bool]]
    ) -> None:
        self._docker = docker
        self._pause = threads / rate
        self._allowed_now = allowed_now
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.counts = Counts()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait for the requests that have been sent."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(TIMEOUT * 2)
            assert not thread.is_alive(), "a request hangs"

    def _run(self, number: int) -> None:
        connection = _Connection(self._docker)
        for request in self._plan(number):
            if self._stopped.is_set():
                break
            before = self._allowed_now() if request.depends_on_policy else {not request.rule}
            started = time.monotonic()
            try:
                status, text = connection.send(request)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection = _Connection(self._docker)
                status, text = 0, type(error).__name__
            taken = time.monotonic() - started
            accepted = before | (self._allowed_now() if request.depends_on_policy else set())
            self._count(request, status, text, accepted, taken)
            self._stopped.wait(max(0.0, self._pause - taken))
        connection.close()

    def _plan(self, number: int) -> Iterator[Request]:
        for turn in itertools.count():
            yield from REQUESTS[turn % len(REQUESTS) :]
            yield from REQUESTS[: turn % len(REQUESTS)]
            name = f"soak-{number}-{turn}"
            path = f"/v1.41/containers/create?name={name}"
            yield Request("POST", path, _create(NetworkMode="none"))
            yield Request("DELETE", f"/v1.41/containers/{name}?force=1")

    def _count(
        self, request: Request, status: int, text: str, accepted: set[bool], taken: float
    ) -> None:
        denied = status == _FORBIDDEN
        allowed = not denied
        is_expected = status != 0 and allowed in accepted and (allowed or request.rule in text)
        outcome = "denied" if denied else "allowed" if status else "failed"
        if denied and "request.engine" in text:
            outcome = "denied without engine"
        with self._lock:
            self.counts.outcomes[outcome] += 1
            self.counts.slowest = max(self.counts.slowest, taken)
            self.counts.total += taken
            if not is_expected:
                self.counts.wrong.append(f"{request.method} {request.path}: {status} {text[:300]}")


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
