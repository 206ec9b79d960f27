"""The dashboard of many hosts, by what a real Prometheus answers to its queries."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from ruamel.yaml import YAML

from tests.harness import dashboards
from tests.harness.bundle_services import WebServer, running_nginx
from tests.harness.plugin import running_plugin, wait_for
from tests.harness.prometheus import Prometheus, free_port, prepare, running_prometheus
from tests.harness.site import OPEN_VOLUMES, VOLUMES, Site

LIST_VOLUMES: Final = {"RequestMethod": "GET", "RequestUri": "/v1.44/volumes"}


def queries(group: str = "job") -> dict[str, str]:
    """The first expression of each panel."""
    found: dict[str, str] = {}
    for panel, expression in dashboards.queries("opa-authz-fleet", group=group):
        found.setdefault(panel, expression)
    return found


def shown(prometheus: Prometheus, panel: str) -> set[str]:
    """The hosts that a panel names."""
    return {found["metric"]["instance"] for found in prometheus.query(queries()[panel])}


def number(prometheus: Prometheus, panel: str) -> int:
    [found] = prometheus.query(queries()[panel])
    return int(found["value"][1])


def settings(folder: Path, nginx: WebServer, site: Site) -> Path:
    """The settings of a host whose bundle has the name of its folder."""
    folder.mkdir()
    fleet = {
        "url": nginx.url,
        "bundle": "{name}.tar.gz",
        "labels": {"name": folder.name},
        "key": str(site.public_key),
        "ca": str(nginx.ca),
        "token_file": str(nginx.token_file),
        "interval": 1,
        "folder": str(folder / "state"),
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps({"fleet": fleet}))
    return file


def scraping(ports: Mapping[str, int]) -> str:
    """A configuration of Prometheus that scrapes plugins under the names of their hosts."""
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name}}
        for name, port in ports.items()
    ]
    job = {"job_name": "opa-authz", "scrape_interval": "1s", "static_configs": targets}
    return json.dumps({"scrape_configs": [job]})


def test_each_host_is_shown_where_it_belongs(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    ports = {name: free_port() for name in ("current", "refusing", "behind")}
    with ExitStack() as running:
        nginx = running.enter_context(running_nginx(tmp_path / "nginx"))

        def build(sections: str) -> tuple[str, bytes]:
            site.write(sections)
            return site.build()["policy_revision"], site.built.read_bytes()

        (older, old), (newer, new) = build(VOLUMES), build(OPEN_VOLUMES)
        for name in ports:
            (nginx.files / f"{name}.tar.gz").write_bytes(old if name == "behind" else new)
        plugins = {
            name: running.enter_context(
                running_plugin(
                    tmp_path / name,
                    f"--config={settings(tmp_path / name, nginx, site)}",
                    environment={"OPA_AUTHZ_METRICS_LISTEN": f"127.0.0.1:{port}"},
                )
            )
            for name, port in ports.items()
        }
        prometheus = running.enter_context(running_prometheus(tmp_path, scraping(ports)))

        def shows(panel: str, *hosts: str) -> None:
            wait_for(lambda: shown(prometheus, panel) == set(hosts), f"{hosts} in {panel}", 60)

        shows("Bundles, polls and versions", *ports)
        (nginx.files / "refusing.tar.gz").write_bytes(old)
        for _ in range(12):
            assert not plugins["behind"].post("/AuthZPlugin.AuthZReq", LIST_VOLUMES)["Allow"]
        shows("Hosts that refuse the newest bundle", "refusing")
        shows("Hosts that deny more than usual", "behind")
        shows("Hosts on another bundle than most", "behind")
        shows("Hosts on a bundle before the newest", "behind")
        bundles = prometheus.query(queries()["Bundles, polls and versions"])
        assert {row["metric"]["instance"]: row["metric"]["revision"] for row in bundles} == {
            "current": newer,
            "refusing": newer,
            "behind": older,
        }
        (nginx.files / "refusing.tar.gz").unlink()
        shows("Hosts that the service does not answer", "refusing")
        empty = {"Hosts that are down", "Hosts that have not kept their policy"}
        for panel, expression in dashboards.queries("opa-authz-fleet", group="job"):
            assert bool(prometheus.query(expression)) is (panel not in empty), (panel, expression)
        plugins["current"].stop()
        shows("Hosts that are down", "current")
        counts = {
            panel: number(prometheus, panel) for panel in ("Down", "Scraped", "Plugin versions")
        }
        assert counts == {"Down": 1, "Scraped": 3, "Plugin versions": 2}


CASES: Final[dict[str, tuple[str, dict[str, str], list[str]]]] = {
    "a host that denies three times as often as the day before": (
        "Hosts that deny more than usual",
        {
            'opa_authz_requests_total{instance="usual", verdict="deny"}': "0+20x1700",
            'opa_authz_requests_total{instance="more", verdict="deny"}': "0+20x1625 32500+70x75",
            'opa_authz_requests_total{instance="few", verdict="deny"}': "0x1660 0+0.2x40",
            'opa_authz_requests_total{instance="many", verdict="allow"}': "0x1660 0+99x40",
            'opa_authz_requests_total{instance="first", verdict="deny"}': "_x1650 0+1x50",
        },
        ["first", "more"],
    ),
    "a host on another bundle than most of its group": (
        "Hosts on another bundle than most",
        {
            'opa_authz_fleet_bundle_info{group="a", instance="a1", revision="1"}': "1x1700",
            'opa_authz_fleet_bundle_info{group="a", instance="a2", revision="1"}': "1x1700",
            'opa_authz_fleet_bundle_info{group="a", instance="a3", revision="none"}': "1x1700",
            'opa_authz_fleet_bundle_info{group="b", instance="b1", revision="2"}': "1x1700",
        },
        ["a3"],
    ),
    "a host on a bundle before the newest of its group": (
        "Hosts on a bundle before the newest",
        {
            'opa_authz_fleet_bundle_built_timestamp_seconds{group="a", instance="a1"}': "9x1700",
            'opa_authz_fleet_bundle_built_timestamp_seconds{group="a", instance="a2"}': "8x1700",
            'opa_authz_fleet_bundle_built_timestamp_seconds{group="a", instance="a3"}': "0x1700",
            'opa_authz_fleet_bundle_built_timestamp_seconds{group="b", instance="b1"}': "7x1700",
        },
        ["a2"],
    ),
    "a host that has not kept its policy": (
        "Hosts that have not kept their policy",
        {
            'opa_authz_fleet_policy_kept{instance="full"}': "0x1700",
            'opa_authz_fleet_bundle_built_timestamp_seconds{instance="full"}': "9x1700",
            'opa_authz_fleet_policy_kept{instance="never-had-one"}': "0x1700",
            'opa_authz_fleet_bundle_built_timestamp_seconds{instance="never-had-one"}': "0x1700",
        },
        ["full"],
    ),
}
"""Panels, the series of 28 hours that they look at, and the hosts that they then name."""


@pytest.mark.parametrize("name", CASES)
def test_a_panel_names(name: str, tmp_path: Path) -> None:
    panel, series, hosts = CASES[name]
    inputs = [
        {"series": f'{key.removesuffix("}")}, job="opa-authz"}}', "values": values}
        for key, values in series.items()
    ]
    expected = [{"labels": f'{{instance="{host}"}}', "value": 1} for host in hosts]
    test = {
        "expr": f"max by (instance) (({queries('group')[panel]}) * 0 + 1)",
        "eval_time": "28h",
        "exp_samples": expected,
    }
    file = tmp_path / "panel.yml"
    YAML().dump(
        {"tests": [{"interval": "1m", "input_series": inputs, "promql_expr_test": [test]}]}, file
    )
    done = subprocess.run(
        [prepare().promtool, "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
