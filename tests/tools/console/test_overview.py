"""The policy at a glance is that of the settings, and the plugin's state that of its metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy, settings
from authz_plugin.journal.chain import read_links
from authz_plugin.tools.console.overview import Health, Overview, overview
from authz_plugin.tools.sandbox import open_sandbox
from tests.conftest import with_policy
from tests.tools.console.conftest import PluginHost
from tests.tools.learning.days import get, send, write_day

NOW = datetime(2027, 1, 1, tzinfo=UTC)
ROLES = {
    "reader": {"callers": [{"user": "bob"}], "profile": "closed", "sections": {"info": "read"}},
    "ci": {
        "callers": [{"user": "runner"}, {"certificate": {"O": "CI"}}],
        "privileged": {"allow": True},
        "mode": "warn",
    },
}
EXCEPTION = {
    "rule": "mounts.source",
    "value": "/srv/<b>",
    "when": {"role": "ci"},
    "expires": "2027-01-08",
    "reason": "a move",
}


def of(**configuration: Any) -> Overview:
    with open_sandbox(with_policy(**configuration)) as sandbox:
        return overview(sandbox, NOW)


@pytest.fixture(scope="module")
def with_roles() -> Overview:
    return of(
        profile="production",
        sections={"exec": "write", "info": "read"},
        operations={"volume.list": "allow"},
        mounts={"allow": [{"path": "/srv/data"}]},
        roles=ROLES,
        unmatched_callers="deny",
        exceptions=[EXCEPTION],
    )


def state(found: Overview, part: str) -> Health:
    return next(health for health in found.health if health.part == part)


def test_the_changes_are_those_that_differ_from_the_profile(with_roles: Overview) -> None:
    assert with_roles.profile == "production, changed"
    changes = {change.key: (change.profile, change.value) for change in with_roles.changes}
    assert changes == {
        "sections.exec": ('"none"', '"write"'),
        "operations.volume.list": ("not set", '"allow"'),
        "mounts.allow": ("[]", '[{"path": "/srv/data"}]'),
    }


def test_a_change_names_the_line_that_made_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("profile: production\nsections:\n  exec: write\n")
    loaded = settings.load({("config",): str(file)}, {}, policy.config_schema())
    with open_sandbox(loaded) as sandbox:
        (change,) = overview(sandbox, NOW).changes
    assert change.origin == f"{file}:3"


def test_the_roles_have_their_callers_base_and_changes(with_roles: Overview) -> None:
    reader, ci = with_roles.roles
    assert (reader.name, reader.profile, reader.mode) == ("reader", "closed, changed", "enforce")
    assert [change.key for change in reader.changes] == ["sections.info"]
    assert list(ci.callers) == ["user runner", "certificate O=CI"]
    assert (ci.profile, ci.mode) == ("production, changed", "warn")
    assert {change.key for change in ci.changes} == {"privileged.allow", "mode"}
    assert list(with_roles.warning) == ["role ci"]


def test_the_matrix_has_a_column_for_each_role_and_for_callers_without(
    with_roles: Overview,
) -> None:
    assert list(with_roles.columns) == ["callers without a role", "reader", "ci"]
    sections = {section.name: section for section in with_roles.sections}
    assert list(sections["exec"].access) == ["none", "none", "write"]
    assert list(sections["info"].access) == ["none", "read", "read"]
    operations = {row.id: row for row in sections["volumes"].operations}
    assert list(operations["volume.list"].allowed) == [False, False, True]
    assert list(operations["volume.list"].is_own) == [False, False, True]
    assert list(operations["volume.create"].allowed) == [False, False, False]
    assert list(sections["exec"].allowed)[0::2] == [0, len(sections["exec"].operations)]


def test_without_roles_the_matrix_is_for_everybody() -> None:
    found = of(profile="production")
    assert list(found.columns) == ["everybody"]
    assert found.changes == []
    sections = {section.name: section for section in found.sections}
    assert list(sections["containers"].access) == ["write"]
    archive = next(r for r in sections["containers"].operations if r.id == "container.archive.get")
    assert (list(archive.allowed), list(archive.is_own)) == ([False], [True])


def test_the_exceptions_have_their_days_left(with_roles: Overview) -> None:
    (exception,) = with_roles.exceptions
    assert (exception.rule, exception.what, exception.whom) == (
        "mounts.source",
        "/srv/<b>",
        "role ci",
    )
    assert (exception.days, exception.ending) == (8, True)


def test_without_metrics_the_plugin_is_unknown_with_the_reason() -> None:
    found = of(profile="production", metrics={"listen": "off"})
    assert (found.plugin_revision, found.since) == (None, None)
    for part in ("plugin", "policy", "engine", "audit"):
        assert state(found, part).state == "unknown"
        assert "metrics.listen: off" in state(found, part).text
    assert state(found, "bundle").text.startswith("no fleet")


def test_without_metrics_the_audit_file_tells_the_last_policy(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    given = with_policy(profile="production", metrics={"listen": "off"})
    with open_sandbox(given) as sandbox:
        refused = send("/containers/a/start?x=1;y")
        write_day(file, sandbox, [get("/info"), get("/containers/json"), refused])
        own = overview(sandbox, NOW, file)
        times = [
            datetime.fromisoformat(link.document["timestamp"])
            for link in read_links(file)
            if link.document.get("policy_revision")
        ]
    assert (own.plugin_revision, own.since) == (own.revision, times[0])
    assert own.is_since_before
    assert state(own, "policy").state == "good"
    assert times[-1].strftime("%H:%M") in state(own, "policy").text
    with open_sandbox(given._replace(policy={"profile": "closed"})) as sandbox:
        other = overview(sandbox, NOW, file)
        assert state(other, "policy").state == "bad"
        write_day(file, sandbox, [get("/info")])
        later = overview(sandbox, NOW, file)
    assert later.plugin_revision == later.revision
    assert later.since is not None
    assert later.since > times[-1]


def beside(file: Path, **more: Any) -> Overview:
    flags: dict[settings.Key, Any] = {("config",): str(file)}
    flags |= {(name,): value for name, value in more.items()}
    with open_sandbox(settings.load(flags, {}, policy.config_schema())) as sandbox:
        return overview(sandbox, NOW)


def test_a_running_plugin_tells_its_policy_and_its_state(plugin_host: PluginHost) -> None:
    found = beside(plugin_host.file)
    assert found.plugin_revision == found.revision
    assert found.since is not None
    assert datetime.now(UTC) - found.since < timedelta(minutes=10)
    assert {health.part: health.state for health in found.health} == dict.fromkeys(
        ("plugin", "policy", "engine", "audit", "bundle"), "good"
    )
    assert "with inputs" in state(found, "audit").text


def test_another_policy_than_the_plugins_is_told(plugin_host: PluginHost) -> None:
    found = beside(plugin_host.file, mode="warn")
    assert found.plugin_revision != found.revision
    assert state(found, "policy").state == "bad"
    assert str(found.plugin_revision) in state(found, "policy").text
