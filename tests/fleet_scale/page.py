"""Writes docs/explanation/fleet-scale.md: what was measured, and what follows for many hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from authz_plugin.engine import binary
from tests.fleet_scale.arithmetic import Polling, load, quantile
from tests.fleet_scale.measure import Measured
from tests.fleet_scale.uploads import MeasuredUploads

_MANY: Final = (500, 10_000)
_SHARES: Final = (0.5, 0.9, 0.99)

_HEAD: Final = """\
# How many hosts a fleet's service bears

What `make fleet-scale` measured with {hosts} real OPAs, each with the configuration that the
plugin gives it, on Debian's nginx (TLS and a token) and Debian's registry; and what follows for
more hosts. Service and OPAs shared one machine with {processors} processors. `fleet.interval` was
{interval}: OPA draws the time between two polls evenly from {least:g} to {most:g} seconds, so a
host polls every {mean:g} seconds in the mean. The bundle had {bundle:,} bytes.

## Measured
"""

_MEASURED: Final = """
Bytes are those to the host, without TLS; of the registry, without the heads of its answers.
Processor time is that of the service. Of memory that processes share, each has its part. The time
of a push begins when it is complete and ends when OPA has activated the bundle. The plugin then
looks once a second, and has the policy decide before it is put in force.
"""

_EXPECTED: Final = """
## The arithmetic and the measurement

A push comes at any time between two polls of a host. The share of hosts that have it after *t*
seconds is *t* / {mean:g} up to {least:g} seconds, and then grows more slowly until all have it
after {most:g}. In half of all pushes, the last of *n* hosts has it before the time at which a share
of 0.5^(1/*n*) is expected to have it.
"""

_MANY_HEAD: Final = """
## Calculated for more hosts

Polls, bytes and processor time grow with the hosts, from the means of the measurement. Seconds of a
push follow from the delays alone, as long as the service is not busy. The simulation draws the
polls of each host.
"""

_END: Final = """
A longer `fleet.interval` lessens the load and delays a push in proportion.
"""

_UPLOADS: Final = """
## Uploads of decisions and status

{hosts} hosts with `fleet.decisions`, without and with `fleet.status`, uploaded to an nginx (TLS and
a token) that writes each body to a file. Decisions of a host in a second: {rate:g}; every tenth was
a denial, all arrived once. A host uploads what it has after {least:g} to {most:g} seconds; OPA
sends its status after each poll and each round of uploads.
"""

_UPLOADED: Final = """
Bytes are those of the requests with their heads, without TLS. The busiest second is that of
{seconds:.0f}; the simulation draws polls and rounds of each host.
"""

_UPLOADS_OF_MANY: Final = """
Calculated for more hosts that decide as often, from the measurement:
"""

_STATUS: Final = """
Bytes of decisions grow with the decisions, their requests hardly. The status is most of it, and
[metrics](../reference/metrics.md) say the same of a host: on many hosts, leave `fleet.status` off.
"""


def page(found: Sequence[Measured], uploads: Sequence[MeasuredUploads]) -> str:
    """The page about measurements that differ in service and run alone, and about those of
    uploads, which differ in ``has_status``."""
    return "\n".join([*_lines(found), *_upload_lines(uploads)]) + "\n"


def _lines(found: Sequence[Measured]) -> Iterator[str]:
    one = found[0]
    polling = one.polling
    yield _HEAD.format(
        hosts=one.hosts,
        processors=os.cpu_count(),
        interval=one.interval,
        least=polling.least,
        most=polling.most,
        mean=polling.mean,
        bundle=one.bundle,
    )
    yield from _table(
        ("", *(f"{m.service}, run {1 + _run(found, m)}" for m in found)),
        ("polls a second", *(f"{m.polls / m.seconds:.2f}" for m in found)),
        ("requests of a poll", *(f"{m.cost.requests:.2f}" for m in found)),
        ("bytes of a poll without news", *(_or_heads("{:,.0f}", m.cost.sent) for m in found)),
        ("bytes of a poll with a new bundle", *(f"{m.cost.changed_sent:,.0f}" for m in found)),
        ("processor time of a poll, ms", *(f"{m.cost.processor * 1000:.2f}" for m in found)),
        ("memory of the service, MB", *(f"{m.megabytes:.0f}" for m in found)),
        (
            "memory of one OPA, MB",
            *(f"{m.host_megabytes:.0f}" for m in found),
        ),
        ("seconds of a push, half of the hosts", *(_each(m, 0.5) for m in found)),
        ("seconds of a push, the last host", *(_each(m, 1) for m in found)),
    )
    yield _MEASURED
    yield f"Measured with OPA {binary.VERSION}."
    yield _EXPECTED.format(least=polling.least, most=polling.most, mean=polling.mean)
    waits = sorted(wait for m in found for each in m.waits for wait in each)
    lasts = [each[-1] for m in found for each in m.waits]
    yield from _table(
        ("", "calculated", f"measured, {len(lasts)} pushes"),
        (
            "polls a second",
            f"{load(one.hosts, polling, one.cost).polls_a_second:.2f}",
            f"{sum(m.polls for m in found) / sum(m.seconds for m in found):.2f}",
        ),
        *(
            (
                f"seconds until {share:.0%} have a push",
                f"{polling.seconds_until(share):.1f}",
                f"{quantile(waits, share):.1f}",
            )
            for share in _SHARES
        ),
        (
            "seconds until the last has it",
            f"{polling.last_of(one.hosts):.1f}",
            " ".join(f"{last:.1f}" for last in sorted(lasts)),
        ),
    )
    yield _MANY_HEAD
    yield from _table(
        ("", *(f"{hosts:,} hosts" for hosts in _MANY)),
        *_loads(found, polling),
        *(
            (
                f"seconds until {share:.0%} have a push: calculated, simulated",
                *(
                    f"{polling.seconds_until(share):.1f}, "
                    f"{quantile(polling.simulated(hosts, seed=1), share):.1f}"
                    for hosts in _MANY
                ),
            )
            for share in _SHARES
        ),
        (
            "seconds until the last has it: calculated, simulated",
            *(
                f"{polling.last_of(hosts):.2f}, {polling.simulated(hosts, seed=1)[-1]:.2f}"
                for hosts in _MANY
            ),
        ),
    )
    yield _END.rstrip("\n")


def _upload_lines(found: Sequence[MeasuredUploads]) -> Iterator[str]:
    one = found[0]
    polling = one.rounds.polling
    yield _UPLOADS.format(hosts=one.hosts, rate=one.rate, least=polling.least, most=polling.most)
    assert not any(m.lost or m.twice for m in found)
    yield from _table(
        ("", *map(_kind, found)),
        ("decisions", *(f"{m.made:,}" for m in found)),
        ("uploads of decisions a second: calculated, measured", *(_uploads(m) for m in found)),
        (
            "decisions of an upload",
            *(f"{m.rate * m.hosts * m.seconds / m.uploads:.1f}" for m in found),
        ),
        ("bytes of a decision", *(f"{m.decision_bytes:,.0f}" for m in found)),
        ("uploads of status a second: calculated, measured", *(_reports(m) for m in found)),
        (
            "bytes of an upload of status",
            *(f"{m.report_bytes / m.reports:,.0f}" if m.reports else "" for m in found),
        ),
        (
            "uploads in the busiest second: simulated, measured",
            *(f"{max(_simulated(m, m.hosts))}, {m.busiest}" for m in found),
        ),
        ("KB a second", *(f"{m.uploading.times(m.hosts).sent / 1000:.0f}" for m in found)),
        (
            "processor time of an upload, ms",
            *(f"{m.processor / (m.uploads + m.reports) * 1000:.2f}" for m in found),
        ),
        ("memory of the receiver, MB", *(f"{m.megabytes:.0f}" for m in found)),
    )
    yield _UPLOADED.format(seconds=one.seconds)
    yield _UPLOADS_OF_MANY.strip() + "\n"
    yield from _table(
        ("", *(f"{hosts:,} hosts, {_kind(m)}" for hosts in _MANY for m in found)),
        ("uploads a second", *_of_many(found, lambda m, hosts: f"{_requests(m, hosts):.0f}")),
        (
            "uploads in the busiest second, simulated",
            *_of_many(found, lambda m, hosts: f"{max(_simulated(m, hosts))}"),
        ),
        (
            "MB a second",
            *_of_many(found, lambda m, hosts: f"{m.uploading.times(hosts).sent / 1e6:.2f}"),
        ),
        (
            "GB a day",
            *_of_many(found, lambda m, hosts: f"{m.uploading.times(hosts).bytes_a_day / 1e9:,.1f}"),
        ),
        (
            "processors of the receiver",
            *_of_many(found, lambda m, hosts: f"{m.uploading.times(hosts).processor:.2f}"),
        ),
    )
    yield _STATUS.rstrip("\n")


def _of_many(
    found: Sequence[MeasuredUploads], told: Callable[[MeasuredUploads, int], str]
) -> Iterator[str]:
    for hosts in _MANY:
        for measured in found:
            yield told(measured, hosts)


def _kind(measured: MeasuredUploads) -> str:
    return "decisions and status" if measured.has_status else "decisions"


def _uploads(measured: MeasuredUploads) -> str:
    calculated = measured.rounds.uploads(measured.hosts)
    return f"{calculated:.2f}, {measured.uploads / measured.seconds:.2f}"


def _reports(measured: MeasuredUploads) -> str:
    calculated = measured.rounds.reports(measured.hosts)
    return f"{calculated:.2f}, {measured.reports / measured.seconds:.2f}" if calculated else ""


def _requests(measured: MeasuredUploads, hosts: int) -> float:
    return measured.rounds.uploads(hosts) + measured.rounds.reports(hosts)


def _simulated(measured: MeasuredUploads, hosts: int) -> list[int]:
    return measured.rounds.simulated(hosts, round(measured.seconds), seed=1)


def _loads(found: Sequence[Measured], polling: Polling) -> Iterator[tuple[str, ...]]:
    first = found[0]
    polls = [load(hosts, polling, first.cost).polls_a_second for hosts in _MANY]
    yield ("polls a second", *(f"{each:.0f}" for each in polls))
    for service in dict.fromkeys(m.service for m in found):
        runs = [m for m in found if m.service == service]
        loads = [[load(hosts, polling, m.cost) for m in runs] for hosts in _MANY]
        for name, form, values in (
            ("requests a second", "{:.0f}", [[x.requests_a_second for x in e] for e in loads]),
            (
                "GB a day without a push",
                "{:.2f}",
                [[x.bytes_a_day / 1e9 for x in e] for e in loads],
            ),
            ("MB of a push", "{:.1f}", [[x.bytes_of_a_push / 1e6 for x in e] for e in loads]),
            ("processors", "{:.2f}", [[x.processors for x in e] for e in loads]),
        ):
            yield (f"{service}: {name}", *(_or_heads(form, sum(v) / len(v)) for v in values))


def _or_heads(form: str, size: float) -> str:
    """A figure; none is 0 but the bytes of answers whose heads are not counted."""
    return form.format(size) if size else "heads only"


def _run(found: Sequence[Measured], measured: Measured) -> int:
    """How many measurements of the same service come before."""
    before = found[: next(n for n, other in enumerate(found) if other is measured)]
    return sum(other.service == measured.service for other in before)


def _each(measured: Measured, share: float) -> str:
    return ", ".join(f"{quantile(waits, share):.1f}" for waits in measured.waits)


def _table(*rows: Sequence[str]) -> Iterator[str]:
    head, *body = rows
    yield f"| {' | '.join(head)} |"
    yield f"|---{'|---:' * (len(head) - 1)}|"
    for row in body:
        yield f"| {' | '.join(row)} |"
