"""What doctor says of a policy configuration and of the OPA behind it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy, settings
from authz_plugin.engine.binary import VERSION, Opa
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import Key
from authz_plugin.tools.doctor.enforcement import check_audit, check_opa, check_policy
from tests.conftest import with_policy

TODAY = date(2026, 6, 15)


def found(**changes: Any) -> dict[str, str]:
    config = policy.configuration(
        with_policy(**{"profile": "production", **changes}), LocalHostPaths()
    )
    return {finding.id: finding.severity for finding in check_policy(config, TODAY)}


def exception(expires: str) -> dict[str, Any]:
    return {
        "rule": "capabilities.add",
        "value": "SYS_PTRACE",
        "when": {"image": "debugger"},
        "expires": expires,
        "reason": "to debug",
    }


def test_a_sound_policy_is_in_order() -> None:
    assert found() == {"policy.mode": "ok"}


@pytest.mark.parametrize(
    ("changes", "id_", "severity"),
    [
        ({"mode": "warn"}, "policy.mode", "critical"),
        ({"rules": {"mounts.source": "warn"}}, "policy.rules", "warning"),
        ({"privileged": {"allow": True}}, "policy.privileged", "warning"),
        ({"sections": {"plugins": "write"}}, "policy.plugins", "warning"),
        ({"mounts": {"allow": [{"path": "/"}]}}, "policy.mounts", "critical"),
        ({"mounts": {"follow_symlinks": False}}, "policy.symlinks", "warning"),
        ({"exceptions": [exception("2026-06-14")]}, "policy.exception-expired", "warning"),
        ({"exceptions": [exception("2026-06-15")]}, "policy.exception-ending", "info"),
        ({"exceptions": [exception("2026-06-29")]}, "policy.exception-ending", "info"),
    ],
)
def test_what_weakens_a_policy_is_found(changes: Any, id_: str, severity: str) -> None:
    assert found(**changes)[id_] == severity


def test_an_exception_that_holds_long_enough_is_not_mentioned() -> None:
    assert found(exceptions=[exception("2026-06-30")]) == {"policy.mode": "ok"}


def opa(version: str = VERSION, url: str | None = None) -> dict[str, str]:
    flags: dict[Key, Any] = {("config",): "/dev/null", ("opa", "url"): url}
    loaded = settings.load(flags, {}, policy.config_schema())
    program = Opa(Path("/usr/bin/opa"), version)
    return {finding.id: finding.severity for finding in check_opa(loaded, program)}


def test_an_older_opa_than_the_tested_one_is_mentioned() -> None:
    assert opa() == {"opa.version": "ok"}
    assert opa("1.7.1") == {"opa.version": "info"}
    assert opa("2.0.0") == {"opa.version": "ok"}


@pytest.mark.parametrize(
    ("url", "critical"),
    [
        ("http://10.0.0.1:8181", True),
        ("http://127.0.0.1:8181", False),
        ("http://localhost:8181", False),
        ("https://10.0.0.1:8181", False),
        ("unix:/run/opa.sock", False),
    ],
)
def test_decisions_in_plain_text_from_elsewhere_are_critical(url: str, critical: bool) -> None:
    assert ("opa.plaintext" in opa(url=url)) is critical


@pytest.mark.parametrize(("file", "severity"), [(None, "info"), ("/var/log/audit.jsonl", "ok")])
def test_a_host_that_keeps_no_audit_file_is_mentioned(file: str | None, severity: str) -> None:
    flags: dict[Key, Any] = {("config",): "/dev/null", ("audit", "file"): file}
    (found,) = check_audit(settings.load(flags, {}, policy.config_schema()))
    assert (found.id, found.severity) == ("audit.file", severity)
