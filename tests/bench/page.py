"""Formats the results as docs/explanation/benchmarks.md and docs/explanation/benchmarks.svg."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

from authz_plugin.engine import binary

Medians = Mapping[tuple[str, int], Mapping[str, Mapping[str, float]]]
"""By mix and connections, then plugin: p50, p99 (microseconds) and rate (a second)."""

_HEAD: Final = """\
# Benchmarks

How long dockerd waits for an answer, measured by `make bench`. The first columns are ratios to
opa-authz. Microseconds depend on the machine, which has {processors} processors and also runs the
load generator.

![AuthZReq, median microseconds](benchmarks.svg)
"""

_THROUGH: Final = """\
Median microseconds that a client of the Docker API waits for an answer of dockerd 28.5, without and
with the plugin, measured in turns. dockerd asks the plugin before it carries out the request, and
reports the outcome to the plugin before it answers the client."""

_STARTS: Final = """\
Milliseconds from the start of `opa-authz serve` to its first answer (median of five, compiled
policies in the cache), and the memory of all processes of the plugin after 20,000 mixed requests on
eight connections: the sum of their resident sets, and of their shares where pages are shared."""

_GROWTH: Final = """\
Median microseconds of an AuthZReq on one connection. No request is repeated, so the policies are
evaluated for every one."""

_POLICIES: Final = """\
The same for a small create, with larger policies. Exceptions depend on the time, so with exceptions
no denial is cached."""

_EVALUATION: Final = """\
Microseconds that OPA's own evaluator takes for one decision of the full library, without any
transport:
`opa-authz policy bench --profile devcontainer`."""

_FLOORS: Final = """\
## Floors

Written by hand, not by `make bench`: where the time of a slow case goes, and what bounds it. It was
measured on two processors, some of it while they were busy. Milliseconds are processor time of the
plugin, the least of some rounds, unless they are waits.

- **A create that was never seen** takes 1.05 ms on one connection, 0.9 of them for the decision
  itself: 23 % of that are reading the request, 15 % the input document, 34 % the evaluation, 14 %
  the rest of the decision (half of it the projection), 3 % decoding the message, 4 % record and
  journal; the rest calls these and releases what they made. Two thirds of the input document are
  calls of the kernel: `/proc/1/mountinfo`, the volume's folders, two paths. The kernel writes a
  line for each mount whenever the first is read, and its poll does not tell that a folder above a
  mount was renamed, so the table cannot be kept. No function of Python takes more than 4 %. A step
  that is repeated alone takes about half of what it takes here, where it finds little of its memory
  in the processor's cache. On eight connections Python's lock lets one request at a time be read,
  and only the evaluation runs beside it: eight requests wait for eight times what one takes without
  its evaluation, at least.
- **A create that differs in what no rule reads** takes 0.65 ms: the same without the evaluation.
- **A body of 4 MB** takes 31 ms: 15 are the decoding of the message, almost all of it
  `binascii.a2b_base64`, the only decoder of base64 in Python's standard library; 5 are reading the
  body, 1 the evaluation on 4,000 names of variables, 1 the hash of the body, by which its outcome
  is found. The rest receives and copies it.
- **Through dockerd**, a ping waits 0.57 ms longer if the plugin answers every message at once,
  without reading it: dockerd sends two messages, one after the other, which takes it 0.8 ms of
  processor time. It keeps one connection open. With opa-authz a ping waits 1.25 ms longer, with
  opa-docker-authz (built by hand; nine lines of Rego in its policy-file mode) 2.3 ms. These waits
  are tenth percentiles of 100 calls in turns. So a plugin of no work at all would take 0.45 of what
  opa-authz takes.
- **A start** takes 0.34 s of processor time: 0.16 are Python and the supervisor's imports, 0.07
  those of the server, which it makes while the policy is assembled (0.025) and decides on a ping in
  a child process (0.03); 0.035 are gunicorn's own start and the loading of the policy in its
  worker. The policy and its native code are kept. An empty Python that imports click, ruamel.yaml,
  wasmtime, orjson, gunicorn and prometheus_client takes 0.18 s, so at most half could be saved
  without one of them. Where modules are not kept compiled (`PYTHONDONTWRITEBYTECODE`), a start
  takes 0.5 s more.
- **Memory** after 20,000 mixed requests is 117 MB: 33 in the supervisor, 33 in gunicorn's first
  process and 51 in its worker, which begins with 43; 62 to 66 where shared pages are divided. In
  each of the three, 9 are what an empty Python takes, and 4 wasmtime. gunicorn's first process only
  starts another worker if the first one dies or hangs: without it, 33 MB less would be resident, of
  which 8 are shared with no other process. Of the 8 by which the worker grows, 3.6 are 4,096
  requests whose outcome dockerd has not reported (the load reports none) and 0.8 are cached
  decisions; the rest is not accounted for.
"""

_METHOD: Final = """\
## What was measured

Keep-alive HTTP on a unix socket, as dockerd asks: one connection, and eight. Each number is the
median of {rounds} measurements of {seconds:g} s each, taken in turns with its rivals'. The full
policy library, profile `devcontainer`, decision log on. OPA {opa}, Python {python}.

- **list**: `GET /containers/json`. **create**: a container of 2 KB with binds, a volume,
  capabilities and ceilings; *repeated*: the same each time; *never the same*: another name each
  time; *another variable*: another value of an environment variable each time, which no rule reads.
- **opa-authz**: this plugin as `opa-authz serve` runs it, with the embedded engine. Decisions that
  depend only on what the policy reads are cached until the policy changes. *list*, *create,
  repeated* and *create, another variable* show the cache; *create, never the same* shows
  evaluations.
- **opa-authz, engine: opa**: the same with OPA's server as its child process.
- **Go, OPA's SDK** and **Go, policy compiled per request**: a plugin in Go with OPA as a library
  ([tools/bench/peer](../../tools/bench/peer/main.go)), in the two ways in which opa-docker-authz
  works (its bundle mode and its policy-file mode). It evaluates *our* policy, and is given the
  finished input document: it does none of the reading of requests that makes a decision sound,
  which flatters it. `make bench` does not measure opa-docker-authz itself: the Go module proxy does
  not hand its module out where this ran, and it can only evaluate policies over the raw request.
- **Go, nine lines compiled per request**: the same with
  [nine lines of Rego](../../tools/bench/peer/nine_lines/policy.rego) in place of a library, which
  deny privileged mode and one security option and can be bypassed by spelling; as much as the
  tutorials of such plugins have. Nothing that decides by policy is quicker in that way. **Go, OPA's
  SDK, nine lines** evaluates the same in the other way.

[Where the time goes](decisions/0008-where-the-time-goes.md) describes the optimizations and what
each gained.
"""


@dataclass(frozen=True)
class Figures:
    """The results; all are medians in microseconds."""

    medians: Medians
    requests: Mapping[str, float]
    policies: Mapping[str, float]
    evaluation: Mapping[str, float]
    waits: Mapping[str, Mapping[str, float]]
    starts: Mapping[str, Mapping[str, float]]


def page(figures: Figures, rounds: int, seconds: float) -> str:
    """Return the page as Markdown."""
    medians = figures.medians
    lines = [_HEAD.format(processors=os.cpu_count())]
    for connections in sorted({connections for _, connections in medians}):
        noun = "connection" if connections == 1 else "connections"
        lines += [f"## {connections} {noun}", ""]
        lines += ["| | plugin | p50 | p99 | rate | p50 µs | p99 µs | requests/s |"]
        lines += ["|---|---|---:|---:|---:|---:|---:|---:|"]
        for (mix, on), plugins in medians.items():
            if on == connections:
                lines += _rows(mix, plugins)
        lines.append("")
    lines += ["## Through dockerd", "", _THROUGH, "", "| | alone | guarded |", "|---|---:|---:|"]
    lines += [
        f"| `{call}` | " + " | ".join(f"{taken:.0f}" for taken in daemons.values()) + " |"
        for call, daemons in figures.waits.items()
    ]
    lines += ["", "## Start and memory", "", _STARTS, ""]
    lines += [
        "| plugin | first answer, ms | resident MB | proportional MB |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {found['first']:.0f} | {found['resident']:.0f} | {found['proportional']:.0f} |"
        for name, found in figures.starts.items()
    ]
    for title, words, column, growth in (
        ("As requests grow", _GROWTH, "a create with", figures.requests),
        ("As the policy grows", _POLICIES, "a policy with", figures.policies),
        ("Evaluation alone", _EVALUATION, "a decision on", figures.evaluation),
    ):
        lines += ["", f"## {title}", "", words, "", f"| {column} | µs |", "|---|---:|"]
        lines += [f"| {size} | {taken:.0f} |" for size, taken in growth.items()]
    lines += [
        "",
        _FLOORS,
        _METHOD.format(
            rounds=rounds,
            seconds=seconds,
            opa=binary.find().version,
            python=platform.python_version(),
        ),
    ]
    return "\n".join(lines)


def _rows(mix: str, plugins: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield a row for each plugin; ratios are to the first one."""
    ours = next(iter(plugins.values()))
    for plugin_name, m in plugins.items():
        shares = " | ".join(f"{m[name] / ours[name]:.2f}" for name in ("p50", "p99", "rate"))
        figures = f"{m['p50']:.0f} | {m['p99']:.0f} | {m['rate']:.0f}"
        yield f"| {mix} | {plugin_name} | {shares} | {figures} |"


_COLOURS: Final = ("#2d6cdf", "#7fb2ff", "#9aa5b1", "#c3cad1", "#d9822b", "#6b4e9b")
_BAR: Final = 16
_LEFT: Final = 210
_WIDTH: Final = 900
_LEAST: Final = 10.0
"""Microseconds at the beginning of the axis."""


def picture(medians: Medians) -> str:
    """Return an SVG with bars of the medians on one connection, on a logarithmic axis."""
    groups = [(mix, plugins) for (mix, on), plugins in medians.items() if on == 1]
    plugins = list(dict.fromkeys(plugin_name for _, found in groups for plugin_name in found))
    highest = max(m["p50"] for _, found in groups for m in found.values())
    parts = ['<text x="10" y="22" font-weight="bold">AuthZReq and AuthZRes</text>']
    for i, plugin_name in enumerate(plugins):
        x, y = _LEFT + 330 * (i % 2), 12 + 20 * (i // 2)
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{_COLOURS[i]}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 10}">{escape(plugin_name)}</text>')
    top = y = 30 + 20 * ((len(plugins) + 1) // 2)
    for mix, found in groups:
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 26}" text-anchor="end">{escape(mix)}</text>')
        for plugin_name, m in found.items():
            length = _length(m["p50"], highest)
            colour = _COLOURS[plugins.index(plugin_name)]
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{length:.0f}" height="{_BAR - 3}" '
                f'fill="{colour}"/>'
                f'<text x="{_LEFT + length + 6:.0f}" y="{y + 11}">{m["p50"]:.0f} µs</text>'
            )
            y += _BAR
        y += 14
    for power in range(int(math.log10(_LEAST)), int(math.log10(highest)) + 1):
        at = _LEFT + _length(10.0**power, highest)
        parts.append(
            f'<line x1="{at:.0f}" y1="{top}" x2="{at:.0f}" y2="{y}" stroke="#ccc"/>'
            f'<text x="{at:.0f}" y="{y + 16}" text-anchor="middle">{10**power:,}</text>'
        )
    middle = (_LEFT + _WIDTH) // 2
    axis = "median microseconds on one connection, logarithmic"
    parts.append(f'<text x="{middle}" y="{y + 34}" text-anchor="middle">{axis}</text>')
    y += 44
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" '
        'font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="{_WIDTH}" height="{y}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _length(microseconds: float, highest: float) -> float:
    """Return the length of a bar on an axis from ``_LEAST`` to ``highest``, at least 2."""
    share = math.log10(microseconds / _LEAST) / math.log10(highest / _LEAST)
    return max(2.0, (_WIDTH - _LEFT - 90) * share)
