"""Writes docs/explanation/fleet-scale.md: what was measured, and what follows for many hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from authz_plugin.engine import binary
from tests.fleet_scale.arithmetic import Polling, load, quantile
from tests.fleet_scale.measure import Measured

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
A longer `fleet.interval` lessens the load and delays a push in proportion. Uploads of decisions
and status were not measured.
"""


def page(found: Sequence[Measured]) -> str:
    """The page about measurements that differ in service and run alone."""
    return "\n".join(_lines(found)) + "\n"


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
