"""deploy/grafana/opa-authz-fleet.json: the dashboard of many hosts.

Hosts of different groups have different bundles. ``$group`` is the label of the scraped targets
that tells groups apart; with ``job``, all hosts are one group.
"""

from __future__ import annotations

from typing import Any, Final

from tests.generate.dashboard import OF, Panel, Rows, laid_out

_UP: Final = f"up{{{OF}}}"
_BUNDLE: Final = f"opa_authz_fleet_bundle_info{{{OF}}}"
_BUILT: Final = f"(opa_authz_fleet_bundle_built_timestamp_seconds{{{OF}}} > 0)"
_POLLED: Final = f"(opa_authz_fleet_last_success_timestamp_seconds{{{OF}}} > 0)"
_VERSION: Final = f"opa_authz_build_info{{{OF}}}"

_DRIFTED: Final = (
    f"{_BUNDLE} unless on ($group, revision) "
    f"topk by ($group) (1, count by ($group, revision) ({_BUNDLE}))"
)
_OLDER: Final = (
    f"(time() - {_BUILT}) "
    f"and on (instance) {_BUILT} < on ($group) group_left () max by ($group) ({_BUILT})"
)
_DENIALS: Final = f'opa_authz_requests_total{{{OF}, verdict="deny"}}'
_DENIED: Final = f"sum by (instance) (increase({_DENIALS}[1h]))"
_USUALLY_DENIED: Final = (
    f"(sum by (instance) (increase({_DENIALS}[1d] offset 1h)) / 24 or 0 * {_DENIED})"
)
_DENYING: Final = f"{_DENIED} > 10 and {_DENIED} > 3 * {_USUALLY_DENIED}"
"""More than ten denials in the last hour, and three times as many as in the mean hour of the day
before; a host that has no day before is compared with none."""

_REFUSING: Final = f"opa_authz_fleet_bundle_refused{{{OF}}} == 1"
_NOT_KEPT: Final = f"opa_authz_fleet_policy_kept{{{OF}}} == 0 and on (instance) {_BUILT}"
_UNREACHED: Final = f"opa_authz_fleet_up{{{OF}}} == 0"


def _number(title: str, which: str) -> Panel:
    return Panel(title, "stat", 3, [(f"count({which}) or vector(0)", "")], red_from=1)


def _hosts(title: str, which: str, by: str = "instance") -> Panel:
    """The hosts of an expression by name, without its value."""
    return Panel(title, "table", 6, [(f"max by ({by}) ({which})", "")], units={"": "short"})


ROWS: Final[Rows] = (
    (
        "How many hosts",
        (
            _number("Down", f"{_UP} == 0"),
            _number("On another bundle than most", _DRIFTED),
            _number("On a bundle before the newest", _OLDER),
            _number("Refuse the newest bundle", _REFUSING),
            _number("Service does not answer", _UNREACHED),
            _number("Policy not kept for a restart", _NOT_KEPT),
            _number("Deny more than usual", _DENYING),
            Panel("Scraped", "stat", 3, [(f"count({_UP})", "")]),
        ),
    ),
    (
        "Which hosts",
        (
            _hosts("Hosts that are down", f"{_UP} == 0"),
            _hosts("Hosts on another bundle than most", _DRIFTED, "instance, revision"),
            Panel(
                "Hosts on a bundle before the newest",
                "table",
                6,
                [(f"max by (instance) ({_OLDER})", "built before")],
                units={"built before": "s"},
            ),
            Panel(
                "Hosts that deny more than usual",
                "table",
                6,
                [
                    (_DENYING, "last hour"),
                    (f"{_USUALLY_DENIED} and on (instance) ({_DENYING})", "usual hour"),
                ],
                units={"last hour": "short", "usual hour": "short"},
            ),
            _hosts("Hosts that refuse the newest bundle", _REFUSING),
            _hosts("Hosts that the service does not answer", _UNREACHED),
            _hosts("Hosts that have not kept their policy", _NOT_KEPT),
            Panel(
                "Plugin versions",
                "table",
                6,
                [(f"count by (version, engine) ({_VERSION})", "hosts")],
                units={"hosts": "short"},
            ),
        ),
    ),
    (
        "Every host",
        (
            Panel(
                "Bundles, polls and versions",
                "table",
                24,
                [
                    (f"max by (instance, revision) ({_BUNDLE})", ""),
                    (f"max by (instance) (time() - {_BUILT})", "built before"),
                    (f"max by (instance) (time() - {_POLLED})", "last poll before"),
                    (f"max by (instance, version) ({_VERSION})", ""),
                ],
                units={"built before": "s", "last poll before": "s"},
            ),
        ),
    ),
    (
        "Over time",
        (
            Panel(
                "Hosts by bundle",
                "timeseries",
                12,
                [(f"count by (revision) ({_BUNDLE})", "{{revision}}")],
            ),
            Panel(
                "Hosts by plugin version",
                "timeseries",
                12,
                [(f"count by (version) ({_VERSION})", "{{version}}")],
            ),
            Panel(
                "Denials of the ten hosts that deny most",
                "timeseries",
                12,
                [
                    (
                        f"topk(10, sum by (instance) (rate({_DENIALS}[$__rate_interval])))",
                        "{{instance}}",
                    )
                ],
                "reqps",
            ),
            Panel(
                "Longest times without a successful poll",
                "timeseries",
                12,
                [(f"topk(10, time() - {_POLLED})", "{{instance}}")],
                "s",
            ),
        ),
    ),
)


def fleet_dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    group = {
        "name": "group",
        "label": "Label of groups",
        "type": "textbox",
        "query": "job",
        "current": {"text": "job", "value": "job"},
    }
    return laid_out("opa-authz-fleet", "opa-authz, many hosts", ROWS, "up", group)
