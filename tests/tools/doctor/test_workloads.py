"""What is said of containers that run already."""

from __future__ import annotations

import pytest

from authz_plugin.tools.doctor.workloads import _findings

NOTHING: dict[str, list[str]] = {"privileged": [], "socket": [], "root": [], "namespaces": []}
IDS = {
    "privileged": "containers.privileged",
    "socket": "containers.docker-socket",
    "root": "containers.host-root",
    "namespaces": "containers.host-namespace",
}


@pytest.mark.parametrize("risk", IDS)
def test_a_risk_is_found_and_the_others_are_ruled_out(risk: str) -> None:
    found = list(_findings({**NOTHING, risk: ["boss"]}))
    assert sorted(finding.id for finding in found) == sorted(IDS.values())
    assert [finding.id for finding in found if finding.severity != "ok"] == [IDS[risk]]


def test_all_risks_are_ruled_out_where_there_are_none() -> None:
    assert {finding.severity for finding in _findings(NOTHING)} == {"ok"}
