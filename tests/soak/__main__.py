"""``make soak``: an hour of load on a dockerd with the plugin, and a report."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

from tests.harness.dockerd import scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.plugin import Plugin, children, running_plugin, wait_for
from tests.real.conftest import guard_with, prepare_content
from tests.soak.load import Counts, Load

CONFIG: Final = """\
profile: production
sections: {{volumes: {volumes}}}
engine: {decides}
"""
THREADS: Final = 8
WARM_UP: Final = 0.2
"""The share of the samples that is not used for slopes and means."""


@dataclass(frozen=True)
class Sample:
    """A sample at ``seconds`` after the start.

    ``plugin_kb`` and ``opa_kb`` are resident kilobytes, ``descriptors`` open file descriptors of
    the plugin. ``requests`` is the number of requests so far, ``taken`` the sum of their seconds.
    """

    seconds: float
    plugin_kb: int
    opa_kb: int
    descriptors: int
    requests: int
    taken: float


@dataclass(frozen=True)
class Report:
    """The report of a run, after the warm-up.

    Slopes are in kilobytes a minute. ``mean``, ``mean_first`` and ``mean_last`` are the seconds of
    a request: of all, of those in the first tenth and of those in the last tenth.
    """

    seconds: float
    requests: int
    outcomes: dict[str, int]
    wrong: list[str]
    slowest: float
    mean: float
    mean_first: float
    mean_last: float
    reloads: int
    kills: int
    plugin_slope: float
    opa_slope: float
    first: Sample
    last: Sample

    @classmethod
    def of(
        cls, seconds: float, counts: Counts, reloads: int, kills: int, samples: list[Sample]
    ) -> Report:
        settled = samples[int(len(samples) * WARM_UP) :]
        return cls(
            seconds=seconds,
            requests=counts.requests,
            outcomes=dict(counts.outcomes),
            wrong=counts.wrong,
            slowest=round(counts.slowest, 3),
            mean=round(counts.total / max(1, counts.requests), 4),
            mean_first=_mean(settled[: len(settled) // 10 + 2]),
            mean_last=_mean(settled[-len(settled) // 10 - 2 :]),
            reloads=reloads,
            kills=kills,
            plugin_slope=_slope([(s.seconds, s.plugin_kb) for s in settled]),
            opa_slope=_slope([(s.seconds, s.opa_kb) for s in settled]),
            first=settled[0],
            last=settled[-1],
        )


def soak(seconds: float, rate: float, every: float, engine: str, decides: str) -> Report:
    """Send ``rate`` requests a second to a dockerd with the plugin.

    The policy is changed every ``every`` seconds; if OPA's server decides (``"opa"`` instead of
    ``"embedded"``), it is killed between the changes.
    """
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-")))
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(volumes="none", decides=decides))
        name = f"opa-authz-{os.getpid()}-soak"
        socket = Path(f"/run/docker/plugins/{name}.sock")
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(engine)))
        prepare_content(dockerd)
        plugin = cleanup.enter_context(running_plugin(folder, f"--config={config}", socket_=socket))
        guard_with(dockerd, name)
        accepted = {False}
        load = Load(dockerd.socket, rate, THREADS, lambda: set(accepted))
        with _running(load):
            started = time.monotonic()
            samples: list[Sample] = []
            reloads = kills = 0
            while (now := time.monotonic() - started) < seconds:
                samples.append(_sample(plugin, load.counts, now, decides))
                if now > every * (reloads + 0.5):
                    reloads += 1
                    _change_policy(plugin, config, accepted, decides)
                if decides == "opa" and now > every * (kills + 1):
                    kills += 1
                    os.kill(children(plugin.process.pid, "opa")[0], signal.SIGKILL)
                time.sleep(min(1.0, seconds / 100))
        return Report.of(seconds, load.counts, reloads, kills, samples)


def _change_policy(plugin: Plugin, config: Path, accepted: set[bool], decides: str) -> None:
    """Change the policy and reload the plugin; until then both answers are accepted."""
    volumes = "none" if True in accepted else "read"
    accepted.update({True, False})
    config.write_text(CONFIG.format(volumes=volumes, decides=decides))
    plugin.reload()
    accepted.discard(volumes == "none")


def _sample(plugin: Plugin, counts: Counts, seconds: float, decides: str) -> Sample:
    if decides == "opa":
        wait_for(lambda: children(plugin.process.pid, "opa"), "OPA to be there")
    opas = children(plugin.process.pid, "opa")
    others = [plugin.process.pid, *children(plugin.process.pid, "opa-authz")]
    return Sample(
        seconds=round(seconds, 1),
        plugin_kb=sum(map(_resident, others)),
        opa_kb=max(map(_resident, opas), default=0),
        descriptors=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in others),
        requests=counts.requests,
        taken=counts.total,
    )


def _mean(samples: list[Sample]) -> float:
    """Return the mean seconds of a request between the first and the last sample."""
    requests = samples[-1].requests - samples[0].requests
    return round((samples[-1].taken - samples[0].taken) / max(1, requests), 4)


def _resident(pid: int) -> int:
    """Return the resident kilobytes of a process, 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line), 0)


def _slope(points: list[tuple[float, int]]) -> float:
    """Return the slope of the least-squares line, per minute."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points) or 1.0
    return round(60 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread, 1)


@contextmanager
def _running(load: Load) -> Iterator[None]:
    load.start()
    try:
        yield
    finally:
        load.stop()


@click.command()
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--rate", default=200.0, show_default=True, help="Requests a second.")
@click.option(
    "--every", default=60.0, show_default=True, help="Seconds between reloads, and kills."
)
@click.option("--engine", default=NEWEST, show_default=True, help="The dockerd.")
@click.option("--decides", default="embedded", show_default=True, help="The plugin's engine.")
def main(minutes: float, rate: float, every: float, engine: str, decides: str) -> None:
    """Run the load and print the report as JSON; exit with status 1 after a wrong answer."""
    report = soak(minutes * 60, rate, every, engine, decides)
    click.echo(json.dumps(asdict(report), indent=1))
    if report.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
