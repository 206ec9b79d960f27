"""The journal beside a guarded dockerd: one trail from message to metric, a real Prometheus, a full
disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from authz_plugin.journal import chain
from tests.harness import dashboards
from tests.harness.client import call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.plugin import Plugin, children, freeze, running_plugin, wait_for
from tests.harness.prometheus import Prometheus, free_port, running_prometheus
from tests.real.conftest import Guarded, guard_with

DEPLOY: Final = Path(__file__).parents[2] / "deploy"

SETTINGS: Final = """\
profile: production
log: {{level: debug}}
opa: {{decision_log: true}}
audit: {{file: {folder}/disk/audit.jsonl, on_failure: deny}}
metrics: {{listen: "127.0.0.1:{port}"}}
rules: {{capabilities.add: warn}}
"""


_EVALUATION: Final = 0.5
"""Seconds between two looks at alerts, which Prometheus evaluates each second."""


@dataclass(frozen=True)
class Watched:
    """A guarded dockerd, and a Prometheus that scrapes its plugin each second."""

    guarded: Guarded
    prometheus: Prometheus
    folder: Path

    @property
    def plugin(self) -> Plugin:
        return self.guarded.plugin

    @property
    def audit(self) -> Path:
        return self.folder / "disk/audit.jsonl"

    def fires(self, *alerts: str) -> None:
        fired = set(alerts)
        wait_for(lambda: fired <= self.prometheus.firing(), f"{alerts} to fire", 30, _EVALUATION)

    def clears(self, *alerts: str, limit: float = 40) -> None:
        fired = set(alerts)
        wait_for(
            lambda: not fired & self.prometheus.firing(), f"{alerts} to clear", limit, _EVALUATION
        )


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "disk").mkdir()
    port = free_port()
    config = folder / "config.yaml"
    config.write_text(SETTINGS.format(folder=folder, port=port))
    name = f"opa-authz-{os.getpid()}-watched"
    with ExitStack() as cleanup:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder / "disk"], check=True
        )
        cleanup.callback(lambda: subprocess.run(["umount", "-l", folder / "disk"], check=True))
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(NEWEST)))
        dockerd.import_image()
        plugin = cleanup.enter_context(
            running_plugin(
                folder,
                f"--config={config}",
                socket_=Path(f"/run/docker/plugins/{name}.sock"),
                environment={"OPA_AUTHZ_METRICS_LISTEN": f"127.0.0.1:{port}"},
            )
        )
        guard_with(dockerd, name)
        (folder / "rules.yml").write_text(hurried(DEPLOY / "prometheus/opa-authz.rules.yml"))
        prometheus = cleanup.enter_context(
            running_prometheus(
                folder,
                f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
                f"rule_files: [{folder}/rules.yml]\n"
                "scrape_configs:\n- job_name: opa-authz\n  static_configs:\n"
                f"  - targets: ['127.0.0.1:{port}']\n",
            )
        )
        wait_for(lambda: prometheus.query('up{job="opa-authz"} == 1'), "a scrape", 20)
        yield Watched(Guarded(dockerd, plugin, name, folder), prometheus, folder)


def hurried(rules: Path) -> str:
    """The shipped rules, in a hurry: seconds where they have minutes."""
    text = re.sub(r"\[(\d+)m\]", "[15s]", rules.read_text())
    text = text.replace("offset 1m", "offset 15s").replace("for: 30s", "for: 1s")
    return re.sub(r"for: \d+m", "for: 5s", text)


def mixed_load(watched: Watched) -> None:
    """What a day brings, in seconds."""
    guarded = watched.guarded
    for number in range(8):
        guarded.succeeds("create", f"--name=c{number}", *HARDENING, IMAGE, "true")
    guarded.succeeds("ps", "--all")
    guarded.succeeds("rm", *(f"c{number}" for number in range(8)))
    guarded.succeeds("create", "--name=warned", "--cap-add=NET_ADMIN", *HARDENING, IMAGE, "true")
    guarded.is_denied("run", "--privileged", IMAGE, "id", by="privileged.container")
    guarded.is_denied("run", "-v", "/var/run/docker.sock:/s", IMAGE, "id", by="mounts.")
    guarded.is_denied("volume", "ls", by="sections.operation")
    later_engine = {"RequestMethod": "POST", "RequestUri": "/v1.99/containers/x/novelty"}
    assert not watched.plugin.post("/AuthZPlugin.AuthZReq", later_engine)["Allow"]
    for _ in range(12):
        assert guarded.get("/v1.44/volumes").status == 403


HARDENING: Final = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=64m")


def test_a_denied_attack_can_be_followed_by_its_decision_id(watched: Watched) -> None:
    rule = "privileged.container"

    def counted() -> float:
        (sample,) = watched.prometheus.query(f'opa_authz_denials_total{{rule="{rule}"}}')
        return float(sample["value"][1])

    before = counted()
    message = watched.guarded.is_denied("run", "--privileged", IMAGE, "id", by=rule)
    decision_id = message.partition("(decision ")[2].partition(")")[0]
    assert re.fullmatch(r"[0-9a-f]{16}", decision_id)

    def found(needle: str) -> list[Any]:
        lines = [orjson.loads(line) for line in watched.plugin.log.splitlines()]
        return [line for line in lines if needle in str(line)]

    wait_for(lambda: len(found(decision_id)) == 2, "both log lines")
    ours = next(line for line in found(decision_id) if line.get("source") == "opa-authz")
    opas = next(line for line in found(decision_id) if line.get("msg") == "Decision Log")
    assert ours["event"] == "blocked_operation"
    assert f"{rule} HostConfig.Privileged" in ours["rules"]
    assert {"rule": rule, "field": "HostConfig.Privileged"} in opas["result"]["denials"]
    shown = subprocess.run(
        [
            Path(sys.executable).with_name("opa-authz"),
            "audit",
            "show",
            f"--file={watched.audit}",
            f"--decision={decision_id}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DENY  container.create" in shown
    wait_for(lambda: counted() == before + 1, "the metric")


def test_an_outcome_brings_dockerds_status_and_the_id_of_what_was_made(watched: Watched) -> None:
    id_ = watched.guarded.succeeds("create", *HARDENING, IMAGE, "true").strip()

    def outcome() -> list[Any]:
        return [r for r in watched.plugin.records() if r.get("created") == [id_]]

    wait_for(outcome, "the outcome")
    (finished,) = outcome()
    assert finished["status"] == 201
    decided = [
        r
        for r in watched.plugin.records()
        if r["event"] == "allowed_operation" and r["decision_id"] == finished["decision_id"]
    ]
    assert [r["operation"] for r in decided] == ["container.create"]


def test_what_dockerd_does_not_say_stays_unknown(watched: Watched) -> None:
    """dockerd gives no status for an error: the answer is a 404, the outcome's status null."""
    assert watched.guarded.get("/v1.44/containers/nobody-is-here/json").status == 404

    def outcomes() -> list[Any]:
        inspected = [
            r["decision_id"]
            for r in watched.plugin.records()
            if r.get("resource") == "nobody-is-here"
        ]
        return [
            r
            for r in watched.plugin.records()
            if r["event"] == "finished_operation" and r["decision_id"] in inspected
        ]

    wait_for(outcomes, "the outcome")
    assert outcomes()[0]["status"] is None


def test_under_a_mixed_load_the_alerts_fire_and_clear_and_the_dashboard_shows_it(
    watched: Watched,
) -> None:
    mixed_load(watched)
    watched.fires(
        "OpaAuthzPrivilegedAttempt",
        "OpaAuthzSocketMountAttempt",
        "OpaAuthzUnknownEndpoint",
        "OpaAuthzRepeatedDenials",
        "OpaAuthzContainerCreationRate",
        "OpaAuthzDenials",
    )
    for title, expression in dashboards.queries("opa-authz"):
        assert watched.prometheus.query(expression), (title, expression)
    assert "OpaAuthzPrivilegedAllowed" not in watched.prometheus.firing()
    assert not {"OpaAuthzDown", "OpaAuthzEngineDown", "OpaAuthzAuditFailing"} & (
        watched.prometheus.firing()
    )
    (opa,) = children(watched.plugin.process.pid, "opa")
    freeze(opa)
    watched.fires("OpaAuthzEngineDown")
    watched.clears("OpaAuthzEngineDown")
    watched.clears(
        "OpaAuthzPrivilegedAttempt",
        "OpaAuthzSocketMountAttempt",
        "OpaAuthzUnknownEndpoint",
        "OpaAuthzContainerCreationRate",
        "OpaAuthzDenials",
    )
    watched.clears("OpaAuthzRepeatedDenials", limit=90)


def test_a_full_disk_is_told_and_denies_where_the_operator_chose_that(watched: Watched) -> None:
    filler = watched.folder / "disk/filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    wait_for(lambda: is_denied_for_want_of_records(watched.guarded.dockerd), "the failure")
    watched.fires("OpaAuthzAuditFailing")
    assert "No space left on device" in watched.plugin.log
    filler.unlink()
    watched.clears("OpaAuthzAuditFailing")
    watched.guarded.succeeds("ps")
    wait_for(lambda: "audit_resumed" in watched.plugin.log, "the end of it")
    _, findings = chain.verify(watched.audit)
    assert not [finding for finding in findings if finding.is_fault]
    logged = {r["decision_id"] for r in watched.plugin.records() if r.get("decision_id")}
    wait_for(lambda: logged <= audited(watched), "every decision in the audit file")


def audited(watched: Watched) -> set[Any]:
    """The ids of the decisions in the audit file, which is written after the log may have been."""
    return {link.document.get("decision_id") for link in chain.read_links(watched.audit)}


def is_denied_for_want_of_records(dockerd: Dockerd) -> bool:
    answer = call(dockerd.socket, "GET", "/v1.44/containers/json")
    return answer.status == 403 and "request.audit" in answer.text
