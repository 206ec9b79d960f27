"""``make soak``: an hour of mixed load through a real dockerd, and what became of it."""

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
from tests.harness.engines import prepare
from tests.harness.plugin import Plugin, children, running_plugin, wait_for
from tests.real.conftest import guard_with, prepare_content
from tests.soak.load import Load, Tally

CONFIG: Final = """\
profile: production
sections: {{volumes: {volumes}}}
"""
THREADS: Final = 8
WARM_UP: Final = 0.2
"""Share of the samples that memory may use to come to its size."""


@dataclass(frozen=True)
class Sample:
    """A moment: resident kilobytes and open file descriptors of the plugin's processes, and how
    many requests had taken how many seconds by then."""

    seconds: float
    plugin_kb: int
    opa_kb: int
    descriptors: int
    requests: int
    taken: float


@dataclass(frozen=True)
class Report:
    """What a run showed; slopes are in kilobytes a minute, after the warm-up, and ``mean_first``
    and ``mean_last`` are seconds that a request took in the first and the last tenth of that."""

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
        cls, seconds: float, tally: Tally, reloads: int, kills: int, samples: list[Sample]
    ) -> Report:
        settled = samples[int(len(samples) * WARM_UP) :]
        return cls(
            seconds=seconds,
            requests=tally.requests,
            outcomes=dict(tally.outcomes),
            wrong=tally.wrong,
            slowest=round(tally.slowest, 3),
            mean=round(tally.total / max(1, tally.requests), 4),
            mean_first=_mean(settled[: len(settled) // 10 + 2]),
            mean_last=_mean(settled[-len(settled) // 10 - 2 :]),
            reloads=reloads,
            kills=kills,
            plugin_slope=_slope([(s.seconds, s.plugin_kb) for s in settled]),
            opa_slope=_slope([(s.seconds, s.opa_kb) for s in settled]),
            first=settled[0],
            last=settled[-1],
        )


def soak(seconds: float, rate: float, every: float, engine: str) -> Report:
    """Load a guarded dockerd for some seconds, at ``rate`` requests a second.

    ``every`` so many seconds the policy changes, and in between OPA is killed.
    """
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-")))
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(volumes="none"))
        name = f"opa-authz-{os.getpid()}-soak"
        socket = Path(f"/run/docker/plugins/{name}.sock")
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(engine)))
        prepare_content(dockerd)
        plugin = cleanup.enter_context(running_plugin(folder, f"--config={config}", socket_=socket))
        guard_with(dockerd, name)
        right = {False}
        load = Load(dockerd.socket, rate, THREADS, lambda: set(right))
        with _running(load):
            started = time.monotonic()
            samples: list[Sample] = []
            reloads = kills = 0
            while (now := time.monotonic() - started) < seconds:
                samples.append(_sample(plugin, load.tally, now))
                if now > every * (reloads + 0.5):
                    reloads += 1
                    _switch(plugin, config, right)
                if now > every * (kills + 1):
                    kills += 1
                    os.kill(children(plugin.process.pid, "opa")[0], signal.SIGKILL)
                time.sleep(min(1.0, seconds / 100))
        return Report.of(seconds, load.tally, reloads, kills, samples)


def _switch(plugin: Plugin, config: Path, right: set[bool]) -> None:
    """Have the plugin take over the other policy; meanwhile either answer is right."""
    volumes = "none" if True in right else "read"
    right.update({True, False})
    config.write_text(CONFIG.format(volumes=volumes))
    plugin.reload()
    right.discard(volumes == "none")


def _sample(plugin: Plugin, tally: Tally, seconds: float) -> Sample:
    wait_for(lambda: children(plugin.process.pid, "opa"), "OPA to be there")
    opas = children(plugin.process.pid, "opa")
    others = [plugin.process.pid, *children(plugin.process.pid, "opa-authz")]
    return Sample(
        seconds=round(seconds, 1),
        plugin_kb=sum(map(_resident, others)),
        opa_kb=max(map(_resident, opas), default=0),
        descriptors=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in others),
        requests=tally.requests,
        taken=tally.total,
    )


def _mean(samples: list[Sample]) -> float:
    """Seconds of a request between the first and the last of some samples."""
    requests = samples[-1].requests - samples[0].requests
    return round((samples[-1].taken - samples[0].taken) / max(1, requests), 4)


def _resident(pid: int) -> int:
    """Resident kilobytes of a process, 0 if it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line), 0)


def _slope(points: list[tuple[float, int]]) -> float:
    """The least squares' rise a minute."""
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
@click.option("--engine", default="28.5", show_default=True)
def main(minutes: float, rate: float, every: float, engine: str) -> None:
    """Load a guarded dockerd and report as JSON; status 1 if an answer was wrong."""
    report = soak(minutes * 60, rate, every, engine)
    click.echo(json.dumps(asdict(report), indent=1))
    if report.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
