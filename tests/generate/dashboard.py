"""deploy/grafana/opa-authz.json: the dashboard of a host, from a short list of what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
OF: Final = 'job="opa-authz", instance=~"$instance"'
"""The label matchers of every series that a panel asks for."""

_WIDTH: Final = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: ``queries`` are pairs of an expression and its legend.

    In a table, a legend heads the column of values, and ``units`` are those of the columns.
    """

    title: str
    kind: str
    width: int
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    red_from: float | None = None
    units: Mapping[str, str] = field(default_factory=dict)


Rows = Sequence[tuple[str, Sequence[Panel]]]
"""Titles and panels, from the top to the bottom."""


def _rate(series: str, by: str, also: str = "") -> str:
    also = f", {also}" if also else ""
    return f"sum by ({by}) (rate({series}{{{OF}{also}}}[$__rate_interval]))"


def _quantile(quantile: float, series: str, by: str = "", also: str = "") -> str:
    by = f"le, {by}" if by else "le"
    return f"histogram_quantile({quantile}, {_rate(f'{series}_bucket', by, also)})"


def _max(series: str, also: str = "") -> str:
    return f"max({series}{{{OF}{', ' + also if also else ''}}})"


_ROWS: Final[Rows] = (
    (
        "Now",
        (
            Panel("Engine", "stat", 4, [(f"min(opa_authz_engine_up{{{OF}}})", "up")]),
            Panel("Audit file", "stat", 4, [(f"min(opa_authz_audit_up{{{OF}}})", "written")]),
            Panel(
                "Denials within 5 minutes",
                "stat",
                4,
                [(f'sum(increase(opa_authz_requests_total{{{OF}, verdict="deny"}}[5m]))', "")],
                red_from=1,
            ),
            Panel(
                "Denials of one caller, last minute",
                "stat",
                4,
                [(_max("opa_authz_denials_of_one_caller_last_minute"), "")],
                red_from=11,
            ),
            Panel(
                "Privileged allowed, last day",
                "stat",
                4,
                [
                    (
                        (
                            "sum(increase(opa_authz_privileged_requests_total"
                            f'{{{OF}, verdict="allow"}}[1d]))'
                        ),
                        "",
                    )
                ],
                red_from=1,
            ),
            Panel(
                "Exceptions that end soon",
                "stat",
                4,
                [(f'sum(opa_authz_exceptions{{{OF}, state="expiring"}})', "")],
                red_from=1,
            ),
        ),
    ),
    (
        "Decisions",
        (
            Panel(
                "Requests",
                "timeseries",
                12,
                [(_rate("opa_authz_requests_total", "verdict"), "{{verdict}}")],
                "reqps",
            ),
            Panel(
                "Denials by rule",
                "timeseries",
                12,
                [(f"{_rate('opa_authz_denials_total', 'rule')} > 0", "{{rule}}")],
                "reqps",
            ),
            Panel(
                "Denials by operation",
                "timeseries",
                12,
                [
                    (
                        _rate("opa_authz_requests_total", "operation", 'verdict="deny"') + " > 0",
                        "{{operation}}",
                    )
                ],
                "reqps",
            ),
            Panel(
                "What rules in warn mode would deny",
                "timeseries",
                12,
                [(f"{_rate('opa_authz_warnings_total', 'rule')} > 0", "{{rule}}")],
                "reqps",
            ),
            Panel(
                "Containers created a minute",
                "timeseries",
                12,
                [
                    (
                        "60 * "
                        + _rate(
                            "opa_authz_requests_total",
                            "verdict",
                            'operation="container.create"',
                        ),
                        "{{verdict}}",
                    )
                ],
            ),
            Panel(
                "Outcomes that dockerd reports",
                "timeseries",
                12,
                [
                    (_rate("opa_authz_outcomes_total", "status"), "{{status}}"),
                    (
                        _rate("opa_authz_outcomes_without_decision_total", "job"),
                        "without decision",
                    ),
                ],
                "reqps",
            ),
        ),
    ),
    (
        "Time",
        (
            Panel(
                "Time to answer",
                "timeseries",
                12,
                [
                    (
                        _quantile(q, "opa_authz_phase_duration_seconds", "phase"),
                        f"{{{{phase}}}} {n}",
                    )
                    for q, n in ((0.5, "p50"), (0.99, "p99"))
                ],
                "s",
            ),
            Panel(
                "Time in the steps, p99",
                "timeseries",
                12,
                [
                    (_quantile(0.99, "opa_authz_step_duration_seconds", "step"), "{{step}}"),
                    (_quantile(0.99, "opa_authz_engine_duration_seconds"), "engine"),
                ],
                "s",
            ),
            Panel(
                "Engine",
                "timeseries",
                12,
                [
                    (
                        f"sum(increase(opa_authz_engine_restarts_total{{{OF}}}[5m]))",
                        "restarts",
                    ),
                    (f"sum(increase(opa_authz_engine_errors_total{{{OF}}}[5m]))", "errors"),
                ],
            ),
            Panel(
                "Cache hits",
                "timeseries",
                12,
                [
                    (
                        (
                            f"{_rate('opa_authz_cache_hits_total', 'cache')} / "
                            f"({_rate('opa_authz_cache_hits_total', 'cache')} + "
                            f"{_rate('opa_authz_cache_misses_total', 'cache')})"
                        ),
                        "{{cache}}",
                    ),
                ],
                "percentunit",
            ),
        ),
    ),
    (
        "Records and process",
        (
            Panel(
                "Entries that wait",
                "timeseries",
                8,
                [(_max("opa_authz_journal_queue_length"), "waiting")],
            ),
            Panel(
                "Entries lost",
                "timeseries",
                8,
                [(_rate("opa_authz_journal_dropped_total", "sink"), "{{sink}}")],
                red_from=0.001,
            ),
            Panel(
                "Requests not reported yet",
                "timeseries",
                8,
                [(_max("opa_authz_open_requests"), "open")],
            ),
            Panel(
                "Memory",
                "timeseries",
                8,
                [(_max("process_resident_memory_bytes"), "resident")],
                "bytes",
            ),
            Panel(
                "Processor",
                "timeseries",
                8,
                [(_rate("process_cpu_seconds_total", "instance"), "{{instance}}")],
                "percentunit",
            ),
            Panel(
                "Policy",
                "table",
                8,
                [
                    (
                        f"max by (instance, profile, revision) (opa_authz_policy_info{{{OF}}})",
                        "",
                    ),
                    (f"max by (instance, version, engine) (opa_authz_build_info{{{OF}}})", ""),
                ],
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return laid_out("opa-authz", "opa-authz", _ROWS, "opa_authz_build_info")


def laid_out(
    uid: str, title: str, rows: Rows, hosts: str, *variables: Mapping[str, Any]
) -> dict[str, Any]:
    """A dashboard with its panels in their places.

    ``hosts`` is the series whose instances can be chosen, ``variables`` are further choices.
    """
    panels: list[dict[str, Any]] = []
    top = 0
    for heading, row in rows:
        place = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": heading, "gridPos": place})
        top, left = top + 1, 0
        height = 4 if row[0].kind == "stat" else 8
        for panel in row:
            if left + panel.width > _WIDTH:
                left, top = 0, top + height
            place = {"x": left, "y": top, "w": panel.width, "h": height}
            panels.append(_panel(len(panels) + 1, panel, place))
            left += panel.width
        top += height
    return {
        "uid": uid,
        "title": title,
        "tags": ["docker", "security"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "label": "Host",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": f'label_values({hosts}{{job="opa-authz"}}, instance)',
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "refresh": 2,
                },
                *variables,
            ]
        },
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.kind in {"stat", "table"}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    elif panel.kind == "stat":
        steps = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                **({"format": "table"} if panel.kind == "table" else {}),
            }
            for position, (expression, legend) in enumerate(panel.queries)
        ],
    }
    if panel.kind == "table":
        made["transformations"] = [{"id": "merge", "options": {}}]
    if panel.units:
        made["fieldConfig"]["overrides"] = _columns(panel)
    return made


def _columns(panel: Panel) -> list[dict[str, Any]]:
    """The heads and units of a table's columns of values, and none for the time of the query."""
    letters = [chr(ord("A") + position) for position in range(len(panel.queries))]
    names = [f"Value #{letter}" for letter in letters] if len(letters) > 1 else ["Value"]
    heads = [legend for _, legend in panel.queries]
    columns = [
        _override(name, displayName=head, unit=panel.units[head])
        if head
        else _override(name, **_HIDDEN)
        for name, head in zip(names, heads, strict=True)
    ]
    host = {"title": "This host", "url": "/d/opa-authz?var-instance=${__value.text}"}
    return [*columns, _override("Time", **_HIDDEN), _override("instance", links=[host])]


_HIDDEN: Final = {"custom.hidden": True}


def _override(column: str, **properties: Any) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": column},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }
