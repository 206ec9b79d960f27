"""What dockerd lets builds do, and from where images come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.doctor.builder import check_builder
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.doctor.host import Host, inspect_host

NOWHERE = Endpoint("unix:///none.sock", unix=Path("/none.sock"))


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Host]:
    def make(daemon_json: str, *flags: str) -> Host:
        for path, text in {
            "etc/docker/daemon.json": daemon_json,
            "proc/7/cmdline": "".join(f"{word}\0" for word in ("dockerd", *flags)),
            "proc/7/status": "Uid:\t0\t0\t0\t0\n",
        }.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return inspect_host(tmp_path, NOWHERE, tmp_path / "etc/docker/daemon.json")

    return make


def by_id(host: Host) -> dict[str, Finding]:
    return {finding.id: finding for finding in check_builder(host)}


def entitled(**entitlements: Any) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in entitlements.items()}
    return {"builder": {"entitlements": named}}


@pytest.mark.parametrize(
    ("settings", "id_", "severity"),
    [
        ({}, "builder.network-host", "info"),
        (entitled(network_host=None), "builder.network-host", "info"),
        (entitled(network_host=True), "builder.network-host", "info"),
        (entitled(network_host=False), "builder.network-host", "ok"),
        (entitled(security_insecure=False), "builder.network-host", "info"),
        ({}, "builder.security-insecure", "ok"),
        (entitled(security_insecure=True), "builder.security-insecure", "warning"),
        (entitled(security_insecure=False), "builder.security-insecure", "ok"),
        (
            {"builder": {"Entitlements": {"Security-Insecure": True}}},
            "builder.security-insecure",
            "warning",
        ),
        ({}, "builder.device", "info"),
        (entitled(device=True), "builder.device", "info"),
        (entitled(device=False), "builder.device", "ok"),
        ({"builder": None}, "builder.device", "info"),
        ({}, "builder.gc", "ok"),
        ({"builder": {"gc": {}}}, "builder.gc", "ok"),
        ({"builder": {"gc": {"enabled": True}}}, "builder.gc", "ok"),
        ({"builder": {"gc": {"enabled": False}}}, "builder.gc", "info"),
        ({"builder": {"GC": {"Enabled": False}}}, "builder.gc", "info"),
        ({}, "dockerd.registry-mirror", "ok"),
        ({"registry-mirrors": []}, "dockerd.registry-mirror", "ok"),
        ({"registry-mirrors": ["https://m.example"]}, "dockerd.registry-mirror", "info"),
        ({"registry-mirrors": ["http://127.0.0.1:5000"]}, "dockerd.registry-mirror", "info"),
        ({"registry-mirrors": ["http://m.example"]}, "dockerd.registry-mirror", "warning"),
    ],
)
def test_what_builds_may_is_judged_by_daemon_json_and_dockerds_defaults(
    host: Callable[..., Host], settings: dict[str, Any], id_: str, severity: str
) -> None:
    finding = by_id(host(json.dumps(settings)))[id_]
    assert finding.severity == severity
    assert bool(finding.why and finding.fix) is (severity != "ok")


def test_a_mirror_is_found_on_the_command_line_too(host: Callable[..., Host]) -> None:
    found = by_id(host("{}", "--registry-mirror=HTTP://m.example"))["dockerd.registry-mirror"]
    assert found.severity == "warning"


def test_of_several_mirrors_the_unencrypted_ones_are_named(host: Callable[..., Host]) -> None:
    mirrors = ["https://a.example", "http://b.example", "http://c.example"]
    found = by_id(host(json.dumps({"registry-mirrors": mirrors})))["dockerd.registry-mirror"]
    assert found.what.endswith(" from http://b.example, http://c.example")


def test_nothing_is_said_of_builds_if_the_settings_cannot_be_seen(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    assert by_id(host("{")) == {}
    (tmp_path / "proc/7/cmdline").unlink()
    (tmp_path / "etc/docker/daemon.json").write_text("{}")
    unseen = inspect_host(tmp_path, NOWHERE, tmp_path / "etc/docker/daemon.json")
    assert list(check_builder(unseen)) == []


def test_doctor_reports_what_builds_may(host: Callable[..., Host], tmp_path: Path) -> None:
    host(json.dumps(entitled(security_insecure=True)))
    program = Path(sys.executable).with_name("opa-authz")
    options = [f"--root={tmp_path}", f"--host=unix://{tmp_path}/none.sock", "--json"]
    done = subprocess.run(
        [program, "doctor", *options], capture_output=True, text=True, check=False
    )
    found = {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["builder.security-insecure"]["severity"] == "warning"
