"""Which engine can be gone round in which way: the releases around each fix."""

from __future__ import annotations

import pytest

from authz_plugin.tools.doctor.engine import check_engine, check_registry_protocol

CHUNKED, LARGE = "engine.cve-2024-41110", "engine.cve-2026-34040"


@pytest.mark.parametrize(
    ("version", "ids"),
    [
        ("19.3.15", {CHUNKED, LARGE}),
        ("20.10.24+dfsg1", {CHUNKED, LARGE}),
        ("23.0.14", {CHUNKED, LARGE}),
        ("23.0.15", {LARGE}),
        ("24.0.9", {CHUNKED, LARGE}),
        ("25.0.5", {CHUNKED, LARGE}),
        ("25.0.6", {LARGE}),
        ("25.0.15", {LARGE}),
        ("25.0.16", {"engine.version"}),
        ("26.1.4", {CHUNKED, LARGE}),
        ("26.1.5", {LARGE}),
        ("27.1.0", {CHUNKED, LARGE}),
        ("27.1.1", {LARGE}),
        ("28.5.2", {LARGE}),
        ("29.1.5", {LARGE}),
        ("29.3.0", {LARGE}),
        ("29.3.1", {"engine.version"}),
        ("30.0.0", {"engine.version"}),
    ],
)
def test_the_findings_are_those_of_the_version(version: str, ids: set[str]) -> None:
    found = list(check_engine(f"Docker/{version} (linux)"))
    assert {finding.id for finding in found} == ids
    assert all(finding.fix for finding in found if finding.severity != "ok")


def test_a_build_of_a_distribution_may_carry_the_fix() -> None:
    by_distribution = list(check_engine("Docker/28.5.2+dfsg4 (linux)"))
    assert "distribution" in by_distribution[0].why
    assert "distribution" not in next(check_engine("Docker/28.5.2 (linux)")).why


@pytest.mark.parametrize("server", ["", "Docker/dev"])
def test_an_engine_without_a_version_is_not_called_sound(server: str) -> None:
    (found,) = check_engine(server)
    assert found.severity == "info"


@pytest.mark.parametrize(
    ("version", "severity"), [("17.9.1", "warning"), ("17.12.0", "ok"), ("28.5.2", "ok")]
)
def test_the_first_registry_protocol_went_with_17_12(version: str, severity: str) -> None:
    (found,) = check_registry_protocol(f"Docker/{version} (linux)")
    assert (found.id, found.severity) == ("engine.registry-v1", severity)


def test_of_an_engine_without_a_version_no_protocol_is_ruled_out() -> None:
    assert list(check_registry_protocol("Docker/dev")) == []
