"""``opa-authz report`` on a real daemon: it claims what validate and doctor saw, nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.dockerd import scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.front import without_http2
from tests.harness.in_process import run_command
from tests.harness.plugin import running_plugin
from tests.real.conftest import guard_with, prepare_content

Document = dict[str, Any]


@dataclass(frozen=True)
class Reported:
    """What the three commands printed about a daemon: ``report`` of the other two where they were
    saved, ``live`` on its own."""

    validation: Document
    doctor: Document
    report: Document
    live: Document


@dataclass(frozen=True)
class Reports:
    """The reports of one daemon: before it was guarded, and under two profiles."""

    unguarded: Document
    guarded: dict[str, Reported]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    folder = tmp_path_factory.mktemp("report")
    config, name = folder / "config.yaml", f"opa-authz-{os.getpid()}-report"
    socket = Path(f"/run/docker/plugins/{name}.sock")
    with ExitStack() as cleanup:
        closed = scratch_dockerd(prepare(NEWEST), environment=without_http2())
        dockerd = cleanup.enter_context(closed)
        rest = f"log: {{level: debug}}\ndata_root: {dockerd.data_root}\n"
        config.write_text(f"profile: cis\n{rest}")
        plugin = cleanup.enter_context(running_plugin(folder, f"--config={config}", socket_=socket))
        prepare_content(dockerd)
        options = [f"--config={config}", f"--host=unix://{dockerd.socket}", "--json"]
        unguarded = run(3, "report", *options)
        guard_with(dockerd, name)
        cis = three(options, folder, live=True)
        config.write_text(f"profile: production\n{rest}")
        plugin.reload()
        return Reports(unguarded, {"cis": cis, "production": three(options, folder)})


def three(options: list[str], folder: Path, *, live: bool = False) -> Reported:
    """Run validate and doctor, save what they print and report on it; and report live."""
    files = folder / "validation.json", folder / "doctor.json"
    printed = run(0, "validate", *options), run(0, "doctor", *options)
    for file, document in zip(files, printed, strict=True):
        file.write_text(json.dumps(document))
    saved = [f"--validation={files[0]}", f"--doctor={files[1]}"]
    return Reported(
        *printed, run(3, "report", *options, *saved), run(3, "report", *options) if live else {}
    )


def run(status: int, *arguments: str) -> Document:
    """Run a command, which ends with a status; what it prints."""
    done = run_command(Path.cwd(), *arguments)
    assert done.returncode == status, done.stderr
    document: Document = json.loads(done.stdout)
    return document


def controls(report: Document) -> dict[str, Document]:
    return {
        f"{standard['name']} {control['id']}": control
        for standard in report["standards"]
        for control in standard["controls"]
    }


@pytest.fixture(params=["cis", "production"])
def reported(reports: Reports, request: pytest.FixtureRequest) -> Reported:
    return reports.guarded[request.param]


def evidence(report: Document, kind: str) -> Iterator[Document]:
    for control in controls(report).values():
        yield from (piece for piece in control["evidence"] if piece["kind"] == kind)


def test_a_report_claims_of_checks_what_validate_saw(reported: Reported) -> None:
    checks = {check["id"]: check for check in reported.validation["checks"]}
    pieces = list(evidence(reported.report, "check"))
    assert len(pieces) > 200
    for piece in pieces:
        check = checks[piece["id"]]
        blocked = check["passed"] and check["expected"] in {"", "denied"}
        assert piece["state"] == ("holds" if blocked else "fails"), piece
        assert ("allowed by " in piece["text"]) is (check["observed"] == "allowed"), piece


def test_a_report_claims_of_this_host_what_doctor_found(reported: Reported) -> None:
    findings = {finding["id"]: finding for finding in reported.doctor["findings"]}
    pieces = list(evidence(reported.report, "finding"))
    assert len(pieces) > 30
    for piece in pieces:
        finding = findings[piece["id"]]
        assert piece["state"] == ("holds" if finding["severity"] == "ok" else "fails"), piece
        assert piece["text"] == finding["what"]


def test_a_control_is_met_only_where_all_of_it_holds(reported: Reported) -> None:
    for control in controls(reported.report).values():
        states = {piece["state"] for piece in control["evidence"]}
        assert (control["status"] == "not met") is ("fails" in states), control
        assert control["status"] != "not tried"
        if control["status"] == "met":
            assert states == {"holds"}
        if control["status"] == "outside":
            assert states == set()


def test_the_profile_decides_what_of_section_5_is_met(reported: Reported) -> None:
    """All but what the host itself has not, under ``cis``; what it leaves open is named."""
    unmet = {
        id_: control["because"]
        for id_, control in controls(reported.report).items()
        if id_.startswith("cis 5.") and control["status"] == "not met"
    }
    by_host = {id_ for id_, because in unmet.items() if "[dockerd.confinement]" in because}
    by_policy = set(unmet) - by_host
    if reported.report["profile"] == "cis":
        assert by_policy == set()
    else:
        numbers = (7, 11, 12, 13, 14, 15, 26, 27, 28, 29, 30)
        assert by_policy == {f"cis 5.{number}" for number in numbers}
        assert "allowed by hardening.read_only_root: false" in unmet["cis 5.13"]


def test_dockerds_own_settings_are_judged_as_they_are(reported: Reported) -> None:
    """The daemon of the tests is told not to touch iptables, and otherwise has its defaults."""
    met = {
        id_.removeprefix("cis ")
        for id_, control in controls(reported.report).items()
        if id_.startswith("cis 2.") and control["status"] in {"met", "partly"}
    }
    assert met == {
        "2.3", "2.5", "2.6", "2.7", "2.10", "2.11", "2.12", "2.17", "2.18", "2.13 of v1.2"
    }  # fmt: skip


def test_saved_results_make_the_report_that_a_live_run_makes(reports: Reports) -> None:
    cis = reports.guarded["cis"]
    assert cis.report["standards"] == cis.live["standards"]
    assert cis.report["evidence"]["doctor"]["file"] is not None
    assert cis.live["evidence"]["doctor"]["file"] is None


def test_an_unguarded_daemon_meets_nothing_that_the_policy_stands_for(reports: Reports) -> None:
    claimed = [
        id_
        for id_, control in controls(reports.unguarded).items()
        if control["status"] in {"met", "partly"}
        and any(piece["kind"] == "rule" for piece in control["evidence"])
    ]
    assert claimed == []
    assert reports.unguarded["evidence"]["validation"]["summary"]["incorrectly_allowed"] > 100
