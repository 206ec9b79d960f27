"""``make bench``: measures the plugin's response times, and those of Go plugins that embed OPA.

All plugins serve the same policy to the same load generator. They are measured in turns, so that
other load of the machine affects them alike. Writes docs/explanation/benchmarks.md and
docs/explanation/benchmarks.svg.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from authz_plugin.engine import binary
from authz_plugin.tools import rule_authoring
from tests.bench import cases, dockerds, sizes
from tests.bench.page import Figures, page, picture
from tests.harness.plugin import Plugin, descendants, running_plugin, wait_for

ROOT: Final = Path(__file__).parents[2]
TOOLS: Final = ROOT / ".cache/bench"
CONFIG: Final = (
    "profile: devcontainer\nmounts: {allow: [{path: /workspace}], subfolders: allow}\n"
    "log: {level: debug}\n"
)

OPA_AUTHZ: Final = "opa-authz"
WITH_OPA: Final = "opa-authz, engine: opa"
GO_FULL_POLICY: Final = "Go, policy compiled per request"
GO_NINE_LINES: Final = "Go, nine lines compiled per request"
GO_SDK: Final = "Go, OPA's SDK"
GO_SDK_NINE_LINES: Final = "Go, OPA's SDK, nine lines"
NINE_LINES: Final = ROOT / "tools/bench/peer/nine_lines"


@dataclass(frozen=True)
class Mix:
    """The requests of one measurement, and the plugins that are measured with them."""

    name: str
    connections: int
    cases: list[dict[str, Any]]
    plugins: tuple[str, ...] = (
        OPA_AUTHZ, WITH_OPA, GO_SDK, GO_SDK_NINE_LINES, GO_NINE_LINES, GO_FULL_POLICY,
    )  # fmt: skip


@dataclass
class Measured:
    """Microseconds and requests a second of one plugin with one mix, a number for each round."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    def add(self, report: dict[str, Any]) -> None:
        weights = {name: case["count"] for name, case in report["cases"].items()}
        total = sum(weights.values())
        for series, key in ((self.p50, "p50"), (self.p99, "p99")):
            share = (report["cases"][n][key] * w for n, w in weights.items() if w)
            series.append(sum(share) / total)
        self.rate.append(report["rate"])

    def medians(self) -> dict[str, float]:
        return {name: statistics.median(getattr(self, name)) for name in ("p50", "p99", "rate")}


def mixes() -> list[Mix]:
    """Return the mixes: lists, repeated and distinct creates, nine to one, and responses."""
    ninety_ten = [cases.case("list", 9), cases.case("distinct create")]
    found = []
    for connections in (1, 8):
        found += [
            Mix("list", connections, [cases.case("list")]),
            Mix("create, repeated", connections, [cases.case("create")]),
            Mix("create, never the same", connections, [cases.case("distinct create")]),
            Mix("create, another variable", connections, [cases.case("unread create")]),
            Mix("90 % list, 10 % create", connections, ninety_ten),
            Mix("AuthZRes", connections, [cases.response_case("create")], (OPA_AUTHZ, GO_SDK)),
        ]
    return found


@click.command()
@click.option("--seconds", default=2.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of each, in turns.")
@click.option("--calls", default=200, show_default=True, help="API calls of each kind to dockerd.")
@click.option("--write/--print", default=True, help="Write the page, or print it.")
def main(seconds: float, rounds: int, calls: int, *, write: bool) -> None:
    """Measure, and write the page."""
    build_tools()
    results: dict[tuple[str, int], dict[str, Measured]] = {}
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-")))
        sockets = start(folder, cleanup)
        plan = mixes()
        steps = [(mix, name) for _ in range(rounds) for mix in plan for name in mix.plugins]
        with click.progressbar(steps, label="measuring") as progress:
            for mix, plugin_name in progress:
                measured = results.setdefault((mix.name, mix.connections), {})
                report = load(folder, sockets[plugin_name], mix, seconds)
                measured.setdefault(plugin_name, Measured()).add(report)
        growth = {
            size: _p50(folder, sockets[OPA_AUTHZ], case, seconds) for size, case in sizes.requests()
        }
        policies = dict(_grown_policies(folder, seconds))
        starts = {name: _start_of(folder, name) for name in _ENGINES}
        evaluation = _evaluation(folder)
        waits = dockerds.medians(dockerds.measure(folder, CONFIG, calls))
    medians = {
        key: {plugin_name: measured.medians() for plugin_name, measured in plugins.items()}
        for key, plugins in results.items()
    }
    text = page(Figures(medians, growth, policies, evaluation, waits, starts), rounds, seconds)
    if not write:
        click.echo(text)
        return
    (ROOT / "docs/explanation/benchmarks.md").write_text(text)
    (ROOT / "docs/explanation/benchmarks.svg").write_text(picture(medians))


def _p50(folder: Path, socket: Path, case: dict[str, Any], seconds: float) -> float:
    report = load(folder, socket, Mix("growth", 1, [case]), seconds)
    return float(report["cases"]["create"]["p50"])


def _grown_policies(folder: Path, seconds: float) -> Iterator[tuple[str, float]]:
    """Yield the median of a create under larger policies."""
    for grown, config in sizes.policies(CONFIG, folder):
        own = Path(tempfile.mkdtemp(dir=folder))
        settings = own / "config.yaml"
        settings.write_text(config)
        with running_plugin(own, f"--config={settings}") as plugin:
            yield grown, _p50(folder, plugin.socket, cases.create_case({}), seconds)


_ENGINES: Final = {OPA_AUTHZ: "embedded", WITH_OPA: "opa"}
_REQUESTS: Final = 20_000
_STARTS: Final = 5


def _start_of(folder: Path, name: str) -> dict[str, float]:
    """Return the time to the first answer in milliseconds, and the memory of all processes of the
    plugin after mixed requests, in MB."""
    times = []
    for _ in range(_STARTS):
        own = Path(tempfile.mkdtemp(dir=folder))
        started = time.monotonic()
        with _ours(own, name, folder) as plugin:
            plugin.post("/AuthZPlugin.AuthZReq", cases.message("list"))
            times.append((time.monotonic() - started) * 1000)
    own = Path(tempfile.mkdtemp(dir=folder))
    mixed = Mix("mixed", 8, [cases.case("list", 9), cases.case("distinct create")], ())
    with _ours(own, name, folder) as plugin:
        done = 0.0
        while done < _REQUESTS:
            report = load(folder, plugin.socket, mixed, 2.0)
            done += sum(case["count"] for case in report["cases"].values())
        pids = [plugin.process.pid, *descendants(plugin.process.pid)]
        resident = sum(_memory(pid, "Rss") for pid in pids)
        proportional = sum(_memory(pid, "Pss") for pid in pids)
    return {"first": statistics.median(times), "resident": resident, "proportional": proportional}


def _memory(pid: int, kind: str) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition(f"{kind}:")[2].split()[0]) / 1024


@contextmanager
def _ours(folder: Path, name: str, shared: Path) -> Iterator[Plugin]:
    """Run this plugin with one of its engines."""
    options = (f"--config={shared}/config.yaml", f"--engine={_ENGINES[name]}")
    socket = folder / "plugin.sock"
    with running_plugin(folder, *options, socket_=socket, data_root=shared / "docker") as plugin:
        yield plugin


def _evaluation(folder: Path) -> dict[str, float]:
    """Return the microseconds of OPA's evaluation, as ``opa-authz policy bench`` prints them."""
    return rule_authoring.bench(binary.find(), folder / "bundle")


def build_tools() -> None:
    """Build the load generator and the other plugins with Go."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["go", "build", "-o", f"{TOOLS}/", "./..."],
        cwd=ROOT / "tools/bench",
        env={**os.environ, "GOFLAGS": "-mod=readonly"},
        check=True,
    )


def start(folder: Path, cleanup: ExitStack) -> dict[str, Path]:
    """Start the plugins and return their sockets."""
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    for kept in ("containers", "volumes"):
        (folder / "docker" / kept).mkdir(parents=True)
    ours = {}
    for name, engine in _ENGINES.items():
        (folder / engine).mkdir()
        ours[name] = cleanup.enter_context(_ours(folder / engine, name, folder)).socket
    archive = folder / "bundle.tar.gz"
    subprocess.run(
        [
            Path(sys.executable).with_name("opa-authz"),
            "bundle",
            f"--config={config}",
            f"--output={archive}",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "bundle", filter="data")
    (folder / "documents.json").write_text(json.dumps(cases.documents()))
    short = folder / "nine_lines.tar.gz"
    subprocess.run(
        [binary.find().path, "build", "--bundle", NINE_LINES, f"--output={short}"], check=True
    )
    return {
        **ours,
        GO_FULL_POLICY: cleanup.enter_context(_peer(folder, "file", folder / "bundle")),
        GO_NINE_LINES: cleanup.enter_context(_peer(folder, "file", NINE_LINES)),
        GO_SDK: cleanup.enter_context(_peer(folder, "sdk", archive)),
        GO_SDK_NINE_LINES: cleanup.enter_context(_peer(folder, "sdk", short)),
    }


def load(folder: Path, socket: Path, mix: Mix, seconds: float) -> dict[str, Any]:
    """Carry out one measurement and return the load generator's report."""
    file = folder / "cases.json"
    file.write_text(json.dumps(mix.cases))
    done = subprocess.run(
        [
            TOOLS / "load",
            f"-socket={socket}",
            f"-cases={file}",
            f"-connections={mix.connections}",
            f"-duration={seconds}s",
            "-warmup=500ms",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise click.ClickException(done.stderr)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@contextmanager
def _peer(folder: Path, mode: str, bundle: Path) -> Iterator[Path]:
    socket = folder / f"{mode}-{bundle.name}.sock"
    process = subprocess.Popen(
        [
            TOOLS / "peer",
            f"-mode={mode}",
            f"-bundle={bundle}",
            f"-documents={folder}/documents.json",
            f"-socket={socket}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(socket.exists, "the plugin to serve")
        yield socket
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
