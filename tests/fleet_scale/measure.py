"""Real OPAs, with the configuration that the plugin gives them, on a real service."""

from __future__ import annotations

import http
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from authz_plugin import fleet_policy
from authz_plugin.engine import binary, bundle_client
from authz_plugin.engine.bundle_client import BundleClient
from authz_plugin.settings import Fleet
from authz_plugin.supervisor.fleet import UPLOADS, opa_configuration, opa_files
from authz_plugin.tools.bundle_archive import Access, push
from tests.fleet_scale.arithmetic import Cost, Polling
from tests.harness.bundle_services import running_nginx, running_registry
from tests.harness.plugin import children
from tests.harness.site import OPEN_VOLUMES, VOLUMES, Site

Service = Literal["nginx", "registry"]
_ABOUT: Final = f"{fleet_policy.ROOT}/about"
_LIMIT: Final = 120.0
_LINES: Final[dict[Service, re.Pattern[str]]] = {
    "nginx": re.compile(r'^"(GET) \S+ \S+" (\d+) \d+ sent=(\d+) got=.*$', re.MULTILINE),
    "registry": re.compile(
        r'"(GET|HEAD) \S+ \S+" (\d+) (\d+) "" "Go-http-client/1.1"$', re.MULTILINE
    ),
}
"""The method, the status and the bytes of each request of an OPA, in the service's log."""

_BEGINS_POLL: Final[dict[Service, str]] = {"nginx": "GET", "registry": "HEAD"}
"""The method of the request that each poll has once."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What hosts did to a service.

    ``polls`` were counted in ``seconds`` without a push. For each push, ``waits`` has the seconds
    until each host had it, sorted. ``megabytes`` is the memory of the service, ``host_megabytes``
    that of one OPA; ``bundle`` is in bytes.
    """

    service: Service
    hosts: int
    interval: int
    seconds: float
    polls: int
    cost: Cost
    bundle: int
    waits: Sequence[Sequence[float]]
    megabytes: float
    host_megabytes: float

    @property
    def polling(self) -> Polling:
        """The delays that the plugin gives OPA."""
        return Polling((self.interval + 1) // 2, self.interval)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs, and its bundle: in the settings of hosts, and as a target of pushes."""

    fleet: Fleet
    target: str
    access: Access
    log: Path


def measured(
    folder: Path, service: Service, *, hosts: int, interval: int, seconds: float, pushes: int
) -> Measured:
    """Have hosts poll a service, and push to it; end everything that was started.

    ``interval`` is that of the settings, ``seconds`` the time in which the policy does not change.
    """
    site = Site(folder / "site")
    with ExitStack() as stack:
        running = stack.enter_context(running_service(folder, service, site, interval))
        push_policy(site, running, VOLUMES)
        clients = stack.enter_context(running_hosts(folder, running.fleet, hosts))
        wait_for_bundle(clients, None)
        [server] = children(os.getpid(), _PROGRAMS[service])[:1]
        workers = [server, *children(server, _PROGRAMS[service])]
        start, before, begun = time.monotonic(), len(_requests(running, service)), used(workers)
        time.sleep(seconds)
        quiet = _requests(running, service)[before:]
        passed, processor = time.monotonic() - start, used(workers) - begun
        polls = sum(request.method == _BEGINS_POLL[service] for request in quiet)
        waits, changed = [], 0
        for number in range(pushes):
            old, before = clients[0].read(_ABOUT), len(_requests(running, service))
            push_policy(site, running, VOLUMES if number % 2 else OPEN_VOLUMES)
            waits.append(wait_for_bundle(clients, old))
            changed += sum(
                request.sent
                for request in _requests(running, service)[before:]
                if request.method == "GET" and request.status == http.HTTPStatus.OK
            )
        return Measured(
            service=service,
            hosts=hosts,
            interval=interval,
            seconds=passed,
            polls=polls,
            cost=Cost(
                requests=len(quiet) / polls,
                sent=sum(request.sent for request in quiet) / polls,
                changed_sent=changed / hosts / pushes,
                processor=processor / polls,
            ),
            bundle=site.built.stat().st_size,
            waits=waits,
            megabytes=sum(map(resident, workers)),
            host_megabytes=_resident_of_opas() / hosts,
        )


_PROGRAMS: Final[dict[Service, str]] = {"nginx": "nginx", "registry": "docker-registry"}


@contextmanager
def running_service(folder: Path, service: Service, site: Site, interval: int) -> Iterator[Running]:
    home = folder / service
    if service == "registry":
        with running_registry(home) as address:
            reference = f"{address}/policy:build"
            fleet = Fleet(
                f"http://{address}", reference, site.public_key, type="oci", interval=interval
            )
            access = Access(plain_http=True)
            yield Running(fleet, f"oci://{reference}", access, home / "registry.log")
        return
    with running_nginx(home) as nginx:
        fleet = Fleet(
            nginx.url,
            "build.tar.gz",
            site.public_key,
            token_file=nginx.token_file,
            ca=nginx.ca,
            interval=interval,
        )
        access = Access(token_file=nginx.token_file, ca=nginx.ca)
        yield Running(fleet, f"{nginx.url}/build.tar.gz", access, home / "access.log")


def push_policy(site: Site, running: Running, sections: str) -> None:
    site.write(sections)
    site.build()
    push(site.built, running.target, running.access)


@contextmanager
def running_hosts(folder: Path, fleet: Fleet, hosts: int) -> Iterator[list[BundleClient]]:
    """OPAs that fetch, started one after the other as the plugin starts its own."""
    configuration = opa_configuration(fleet, fleet.key.read_bytes())
    files, opa = opa_files(fleet), binary.find()
    policy = UPLOADS if fleet.decisions else None
    clients: list[BundleClient] = []
    try:
        for number in range(hosts):
            home = folder / f"host-{number}"
            home.mkdir()
            clients.append(bundle_client.start(opa, home, configuration, files, policy))
        yield clients
    finally:
        for client in clients:
            client.stop()


def wait_for_bundle(clients: Sequence[BundleClient], old: Any) -> list[float]:
    """The seconds until each host has another bundle than ``old``, sorted."""
    start = time.monotonic()
    waiting, found = list(clients), []
    while waiting:
        now = time.monotonic() - start
        if now > _LIMIT:
            raise TimeoutError(f"{len(waiting)} hosts have no new bundle after {_LIMIT:g} s")
        still = [client for client in waiting if client.read(_ABOUT) == old]
        found += [time.monotonic() - start] * (len(waiting) - len(still))
        waiting = still
        time.sleep(0.1)
    return found


class _Request(NamedTuple):
    """A request of a host, and the bytes that were sent to it."""

    method: str
    status: int
    sent: int


def _requests(running: Running, service: Service) -> list[_Request]:
    """The requests of hosts so far."""
    found = _LINES[service].findall(running.log.read_text())
    return [
        _Request(method, int(status), 0 if method == "HEAD" else int(sent))
        for method, status, sent in found
    ]


def used(processes: Sequence[int]) -> float:
    """The processor time of processes so far, in seconds."""
    nanoseconds = sum(
        int(thread.read_text().split()[0])
        for pid in processes
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
    return nanoseconds / 1e9


def resident(pid: int) -> float:
    """The memory of a process that it shares with no other, and its part of the rest, in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [kilobytes] = re.findall(r"^Pss: +(\d+) kB$", text, re.MULTILINE)
    return int(kilobytes) / 1000


def _resident_of_opas() -> float:
    return sum(map(resident, children(os.getpid(), "opa")))
