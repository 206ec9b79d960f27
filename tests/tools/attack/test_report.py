"""What a campaign's report says, and what it does not say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

from authz_plugin.tools.attack.catalogue import CATALOGUE, select
from authz_plugin.tools.attack.created_objects import CreatedObjects
from authz_plugin.tools.attack.model import DockerObject
from authz_plugin.tools.attack.preparation import Preparation
from authz_plugin.tools.attack.report import Report, lines
from authz_plugin.tools.attack.verdict import Answer, Outcome, Result
from authz_plugin.tools.docker_client import Endpoint

ENDPOINT: Final = Endpoint("unix:///x", unix=Path("/x"))


def report(changes: dict[str, Outcome], *ids: str, reached: bool = True) -> Report:
    """Rows (or all) of which each was blocked unless it is said otherwise."""
    created_objects = CreatedObjects(ENDPOINT)
    preparation = Preparation(ENDPOINT, created_objects, None, None)
    preparation.dockerd_seen = reached
    results = [
        Result(
            attack,
            outcome := changes.get(attack.id, "open" if attack.informational else "blocked"),
            "said",
            proved=outcome == "succeeded",
            guard="plugin opa-authz" if outcome == "blocked" else "",
        )
        for attack in (select(ids) if ids else CATALOGUE)
    ]
    return Report("unix:///x", preparation, results, created_objects)


def text(made: Report, *, verbose: bool = False) -> str:
    return "\n".join(text for _, text in lines(made, verbose=verbose))


@pytest.mark.parametrize(
    ("key", "warns"), [("mode", True), ("roles.ci.mode", True), ("sections.volumes", False)]
)
def test_a_policy_in_mode_warn_passes_with_a_warning(key: str, *, warns: bool) -> None:
    made = report({"scenario.volume": "open"}, "scenario.volume", "scenario.privileged")
    results = [replace(r, opened_by=(key,)) if r.outcome == "open" else r for r in made.results]
    said = text(replace(made, results=results, configuration="production, changed"))
    assert ("mode warn, which denies nothing" in said) is warns


def test_all_blocked_ends_as_in_the_guide() -> None:
    said = text(report({}))
    closing = said[said.index("Attack Scenario Summary") :]
    assert closing.startswith(
        "Attack Scenario Summary\n==========================================\n"
        "Total attack scenarios tested: 10\nAttacks blocked: 10\nAttacks succeeded: 0\n"
    )
    assert "✓ SECURITY VALIDATION PASSED" in closing
    assert "All container escape attempts were successfully blocked." in closing
    assert "The guard (plugin opa-authz) is functioning correctly and preventing:" in closing
    for prevented in (
        "Privileged container creation",
        "Host namespace access (network, PID, IPC)",
        "Host filesystem mounts",
        "Docker socket mounts",
        "Dangerous capability escalation",
        "Volume and network manipulation",
        "Container exec operations",
        "Malicious image builds",
    ):
        assert f"  - {prevented}\n" in closing
    assert closing.endswith("Your deployment is protected against common container escape vectors.")
    assert "CRITICAL" not in said
    assert "what to do about it" not in said


def test_one_success_is_critical_and_takes_what_it_breaks_off_the_list() -> None:
    made = report({"hardening.ipc": "succeeded"})
    said = text(made)
    assert "CRITICAL: 1 attack succeeded. DO NOT deploy to production until fixed." in said
    assert "✗ The host's IPC namespace: SUCCEEDED, proved: said" in said
    assert "still prevents:" in said
    assert "Host namespace access" not in said
    assert "Privileged container creation" in said
    assert "Your deployment is protected" not in said
    assert made.proven


def test_only_what_is_to_be_read_is_listed_and_verbose_lists_all() -> None:
    made = report({"scenario.exec": "succeeded", "path.case": "unclear"})
    said, verbose = text(made), text(made, verbose=True)
    listed = [line for line in said.splitlines() if line.startswith(("  ✓", "  ✗", "  ?", "  i"))]
    assert [line.split(":")[0].strip()[:4] for line in listed] == ["✗ 9.", "? An"]
    assert "--verbose lists every attack." in said
    assert len(said.splitlines()) < 70
    assert "--verbose" not in verbose
    for result in made.results:
        assert f"{result.attack.title}" in verbose
    assert "  ✓ 1. Privileged Container Creation" in verbose


def test_each_success_has_its_meaning_and_its_remedy() -> None:
    said = text(report({"hardening.ipc": "succeeded", "hardening.uts": "succeeded"}))
    assert (
        "  hardening.ipc, hardening.uts\n"
        "      means: what the namespace keeps apart is shared with the host\n"
        "      fix:   opa-authz with any shipped profile [namespaces.host]\n"
    ) in said


@pytest.mark.parametrize("outcome", ["unclear", "left", "unreached"])
def test_what_is_not_proven_does_not_pass(outcome: str) -> None:
    changes: dict[str, Outcome] = {"hardening.ipc": "unclear"} if outcome == "unclear" else {}
    made = report(changes, reached=outcome != "unreached")
    if outcome == "left":
        made.created_objects._failures[DockerObject("network", "opa-authz-attack-x")] = "no"
    said = text(made)
    assert not made.proven
    assert not made.to_document()["passed"]
    assert "✗ NOT PROVEN" in said
    assert "PASSED" not in said
    assert "Your deployment is protected" not in said
    if outcome == "left":
        assert "network opa-authz-attack-x could not be removed" in said
        assert "  remove it with: docker network rm opa-authz-attack-x" in said


def test_what_no_guard_stopped_is_not_called_prevented() -> None:
    assert report({"scenario.exec": "refused"}, "scenario.exec").prevented == []
    assert report({"scenario.exec": "not tried"}, "scenario.exec").prevented == []
    assert report({}, "scenario.exec").prevented == ["Container exec operations"]


@pytest.mark.parametrize("part", ["hardening", "scenario.privileged"])
def test_a_part_does_not_speak_for_the_whole(part: str) -> None:
    said = text(report({}, part))
    assert "All attacks that were tried were successfully blocked." in said
    assert "Your deployment is protected" not in said
    assert ("Total attack scenarios" in said) == part.startswith("scenario")


def test_a_harmless_container_that_is_refused_too_is_told() -> None:
    made = report({})
    made.preparation.container_refusal = Answer("denied", 403, "creating is closed", "HAProxy")
    assert "a harmless container was refused as well" in text(made)
    assert made.to_document()["harmless_container_refused"] == "creating is closed"


def test_the_table_counts_by_family() -> None:
    said = text(report({"scenario.exec": "succeeded", "scenario.build": "refused"}, "scenario"))
    (row,) = [line for line in said.splitlines() if line.startswith("Escape scenarios  ")]
    assert row.split()[2:] == ["8", "1", "1", "-", "-", "-"]


def test_json_has_everything_and_a_version() -> None:
    document: dict[str, Any] = json.loads(
        json.dumps(report({"scenario.exec": "succeeded"}).to_document())
    )
    assert document["version"] == 1
    assert document["passed"] is False
    assert document["scenarios"]["blocked"] == 9
    assert len(document["attacks"]) == len(CATALOGUE)
    exec_ = next(a for a in document["attacks"] if a["id"] == "scenario.exec")
    assert exec_["outcome"] == "succeeded"
    assert exec_["fix"].startswith("opa-authz with profile production")
    assert document["summary"]["tested"] == len(CATALOGUE)
    assert document["guards"] == ["plugin opa-authz"]


def test_junit_has_a_suite_for_each_family_and_tells_failures_from_errors() -> None:
    made = report(
        {"scenario.exec": "succeeded", "scenario.build": "unclear", "hardening.ipc": "not tried"}
    )
    suites = {suite.attrib["name"]: suite for suite in ET.fromstring(made.to_junit())}
    assert len(suites) == 12
    scenarios = suites["Escape scenarios"]
    counts = {name: scenarios.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "10", "failures": "1", "errors": "1", "skipped": "0"}
    failure = scenarios.find("testcase/failure")
    assert failure is not None
    assert "profile production" in failure.attrib["message"]
    assert suites["What takes a container's hardening away"].attrib["skipped"] == "1"
