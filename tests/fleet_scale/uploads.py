"""Real OPAs that upload decisions and status, as the plugin has them do it, to Debian's nginx."""

from __future__ import annotations

import contextlib
import gzip
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from authz_plugin.engine.bundle_client import BundleClient
from authz_plugin.settings import Receiver
from tests.fleet_scale.arithmetic import Polling, Rounds, Uploading
from tests.fleet_scale.measure import (
    push_policy,
    resident,
    running_hosts,
    running_service,
    used,
    wait_for_bundle,
)
from tests.harness.bundle_services import WebServer, running_nginx
from tests.harness.plugin import children, wait_for
from tests.harness.site import VOLUMES, Site
from tests.journal.records import NO, create, record, request

_LINE: Final = re.compile(
    r'^"POST /(logs|status)\S* \S+" 204 \d+ sent=\d+ got=(\d+) at=(\d+)\.\d+$', re.MULTILINE
)
_PATH: Final = "authz_plugin/uploads/decision"
_DENIALS: Final = 10
"""One decision of so many is a denial."""


@dataclass(frozen=True, slots=True)
class MeasuredUploads:
    """What the uploads of hosts did to a receiver.

    Each host made ``rate`` decisions a second. In ``seconds``, ``uploads`` of decisions and
    ``reports`` of status were taken, of so many bytes with the heads of the requests, and
    ``busiest`` of both in the busiest second; ``processor`` is in seconds. ``made`` counts all
    decisions, ``lost`` and ``twice`` those that did not arrive once. ``decision_bytes`` is the mean
    of an upload's bytes for a decision. ``megabytes`` is the memory of the receiver.
    """

    hosts: int
    interval: int
    rate: float
    has_status: bool
    seconds: float
    uploads: int
    upload_bytes: int
    reports: int
    report_bytes: int
    busiest: int
    processor: float
    made: int
    lost: int
    twice: int
    decision_bytes: float
    megabytes: float

    @property
    def rounds(self) -> Rounds:
        """The rounds that follow from the delays that the plugin gives OPA."""
        polling = Polling((self.interval + 1) // 2, self.interval)
        return Rounds(polling, self.rate, self.has_status)

    @property
    def uploading(self) -> Uploading:
        """What one host does in a second."""
        each = self.hosts * self.seconds
        return Uploading(
            requests=(self.uploads + self.reports) / each,
            sent=(self.upload_bytes + self.report_bytes) / each,
            processor=self.processor / each,
        )


def measured_uploads(
    folder: Path, *, hosts: int, interval: int, seconds: float, rate: float, has_status: bool
) -> MeasuredUploads:
    """Have hosts make decisions and upload them to an nginx of its own; end everything that was
    started. ``rate`` is the number of decisions of a host in a second."""
    site = Site(folder / "site")
    with ExitStack() as stack:
        running = stack.enter_context(running_service(folder, "nginx", site, interval))
        receiver = stack.enter_context(running_nginx(folder / "receiver"))
        access = Receiver(receiver.url, token_file=receiver.token_file, ca=receiver.ca)
        fleet = running.fleet._replace(decisions=True, status=has_status, receiver=access)
        push_policy(site, running, VOLUMES)
        clients = stack.enter_context(running_hosts(folder, fleet, hosts))
        wait_for_bundle(clients, None)
        log = folder / "receiver/access.log"
        server = int((folder / "receiver/nginx.pid").read_text())
        workers = [server, *children(server, "nginx")]
        made = _decide(clients, rate, interval)
        before, begun, start = len(_requests(log)), used(workers), time.monotonic()
        made += _decide(clients, rate, seconds)
        passed, processor = time.monotonic() - start, used(workers) - begun
        taken = _requests(log)[before:]
        wait_for(lambda: len(_arrived(receiver)) == len(made), "the decisions", 4 * interval)
        arrived = _arrived(receiver)
        megabytes = sum(map(resident, workers))
        everything = sum(one.size for one in _requests(log) if one.kind == "logs")
    logs = [one.size for one in taken if one.kind == "logs"]
    reports = [one.size for one in taken if one.kind == "status"]
    return MeasuredUploads(
        hosts=hosts,
        interval=interval,
        rate=rate,
        has_status=has_status,
        seconds=passed,
        uploads=len(logs),
        upload_bytes=sum(logs),
        reports=len(reports),
        report_bytes=sum(reports),
        busiest=max(Counter(one.second for one in taken).values()),
        processor=processor,
        made=len(made),
        lost=len(set(made) - set(arrived)),
        twice=sum(number > 1 for number in arrived.values()),
        decision_bytes=everything / len(made),
        megabytes=megabytes,
    )


def _decide(clients: Sequence[BundleClient], rate: float, seconds: float) -> list[str]:
    """Hand decisions to the hosts in turn, evenly over a time; the ids of the decisions."""
    denied, made = create(Binds=["/etc:/host"]), []
    start, number = time.monotonic(), int(rate * seconds * len(clients))
    for count in range(number):
        time.sleep(max(0.0, start + count / (rate * len(clients)) - time.monotonic()))
        is_denial = count // len(clients) % _DENIALS == 0
        decided = record(denied, NO) if is_denial else record(request(user="ann"))
        clients[count % len(clients)].hand_over(_PATH, orjson.dumps(decided.to_document()))
        made.append(decided.decision_id)
    time.sleep(max(0.0, start + seconds - time.monotonic()))
    return made


class _Upload(NamedTuple):
    """A request that the receiver has taken: ``logs`` or ``status``, its bytes with its head, and
    the second of its end."""

    kind: str
    size: int
    second: int


def _requests(log: Path) -> list[_Upload]:
    found = _LINE.findall(log.read_text())
    return [_Upload(kind, int(size), int(second)) for kind, size, second in found]


def _arrived(receiver: WebServer) -> Counter[str]:
    """How often each decision is among the bodies that the receiver has kept."""
    found: Counter[str] = Counter()
    for file in receiver.logs.iterdir():
        with contextlib.suppress(EOFError, ValueError):  # it is being received
            events = orjson.loads(gzip.decompress(file.read_bytes()))
            found.update(event["input"]["decision_id"] for event in events)
    return found
