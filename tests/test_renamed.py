"""Old names of settings, rules and facts: accepted with a warning that names the new one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from authz_plugin import fleet_policy, policy, renamed, settings
from authz_plugin.cli import cli
from authz_plugin.decision import read_decision
from authz_plugin.engine import binary
from authz_plugin.errors import EngineError, PolicyError, SettingsError
from authz_plugin.fleet_policy import FleetPolicy
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.journal.chain import Link, Position, forge
from authz_plugin.journal.recording import read_recordings, recorded, restored
from authz_plugin.tools.explanation.subjects import find_record
from tests.harness.plugin import running_plugin
from tools.policy_data import examples

OLD = """\
walls:
  healthcheck: true
strangers: deny
guard:
  unguarded: [/etc/docker]
rules:
  walls.drop: warn
roles:
  ci:
    callers: [{user: ci}]
    walls: {read_only_root: true}
    guard: {unguarded: []}
    rules: {walls.read-only-root: warn}
exceptions:
  - rule: identity.stranger
    when: {role: ci}
    value: bob
    expires: 2099-01-01
    reason: is being moved
"""


def load(file: Path, text: str) -> settings.Settings:
    file.write_text(text)
    return settings.load({("config",): str(file)}, {}, policy.config_schema())


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def test_old_names_of_settings_are_the_new_ones(tmp_path: Path) -> None:
    loaded = load(tmp_path / "config.yaml", OLD)

    assert loaded.policy["hardening"] == {"healthcheck": True}
    assert loaded.policy["unmatched_callers"] == "deny"
    assert loaded.policy["guard"] == {"unprotected_paths": ["/etc/docker"]}
    assert loaded.policy["rules"] == {"hardening.drop": "warn"}
    role = loaded.policy["roles"]["ci"]
    assert role["hardening"] == {"read_only_root": True}
    assert role["guard"] == {"unprotected_paths": []}
    assert role["rules"] == {"hardening.read-only-root": "warn"}
    assert loaded.policy["exceptions"][0]["rule"] == "identity.unmatched-caller"


def test_each_old_name_has_a_warning_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"

    assert sorted(load(file, OLD).warnings) == sorted(
        f"{file}:{line}: {old} is now called {new}; the old name is accepted until 0.3"
        for line, old, new in (
            (1, "walls", "hardening"),
            (3, "strangers", "unmatched_callers"),
            (5, "guard.unguarded", "guard.unprotected_paths"),
            (7, "rules.walls.drop", "rules.hardening.drop"),
            (11, "roles.ci.walls", "roles.ci.hardening"),
            (12, "roles.ci.guard.unguarded", "roles.ci.guard.unprotected_paths"),
            (13, "roles.ci.rules.walls.read-only-root", "roles.ci.rules.hardening.read-only-root"),
            (15, "identity.stranger", "identity.unmatched-caller"),
        )
    )


def test_new_names_have_no_warning(tmp_path: Path) -> None:
    assert load(tmp_path / "config.yaml", "hardening: {healthcheck: true}\n").warnings == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("walls: {}\nhardening: {}\n", ("walls", "hardening")),
        ("strangers: deny\nunmatched_callers: deny\n", ("strangers", "unmatched_callers")),
        (
            "guard: {unguarded: [], unprotected_paths: []}\n",
            ("guard.unguarded", "guard.unprotected_paths"),
        ),
        (
            "rules: {walls.drop: warn, hardening.drop: enforce}\n",
            ("rules.walls.drop", "rules.hardening.drop"),
        ),
    ],
)
def test_both_names_are_refused(tmp_path: Path, text: str, names: tuple[str, str]) -> None:
    with pytest.raises(SettingsError) as error:
        load(tmp_path / "config.yaml", text)

    assert all(name in str(error.value) for name in names)


def test_a_fault_inside_an_old_name_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with pytest.raises(SettingsError, match=rf"{file}:2: hardening.healthcheck"):
        load(file, "walls:\n  healthcheck: 3\n")


def test_commands_print_the_warning_on_standard_error(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("walls: {healthcheck: true}\n")

    result = run("exceptions", "--config", str(file))

    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == (
        f"opa-authz: {file}:1: walls is now called hardening; the old name is accepted until 0.3\n"
    )


CUSTOM = """\
# input.walls in a comment is not read
package docker.authz.rules.custom_own

import data.docker.authz.effective

denials contains {} if input.walls.healthcheck == false
denials contains {} if effective.config.strangers == "deny"
denials contains {} if count(effective.config.guard.unguarded) > 0
denials contains {} if count(input["walls"].dropped) == 0
denials contains {} if count(input.hardening.dropped) == 0
"""


def test_policy_check_names_the_lines_that_read_an_old_name(tmp_path: Path) -> None:
    file = tmp_path / "own.rego"
    file.write_text(CUSTOM)

    told = run("policy", "check", str(tmp_path)).stderr.splitlines()

    assert told == [
        f"opa-authz: {file}:{line}: {old} is now called {new}; the old name is accepted until 0.3"
        for line, old, new in (
            (6, "input.walls", "input.hardening"),
            (7, "config.strangers", "config.unmatched_callers"),
            (8, "guard.unguarded", "guard.unprotected_paths"),
            (9, "input.walls", "input.hardening"),
        )
    ]


def test_own_rego_that_reads_old_names_still_denies(tmp_path: Path) -> None:
    """``check`` compiles it with the shipped schemas, and its bundle has the old keys."""
    own = tmp_path / "own"
    own.mkdir()
    assert run("policy", "new", "own", "--into", str(own)).exit_code == 0
    rule = next(file for file in own.rglob("*.rego") if not file.name.endswith("_test.rego"))
    rule.write_text(rule.read_text() + "\n_old if input.walls.no_new_privileges == false\n")

    result = run("check", "--policies", str(own))

    assert result.exit_code == 0, result.stderr
    assert "input.walls is now called input.hardening" in result.stderr


def test_the_configuration_for_opa_has_both_names(tmp_path: Path) -> None:
    config = policy.configuration(load(tmp_path / "config.yaml", OLD), UnseenHostPaths())
    served = renamed.with_old_settings(config)

    assert served["walls"] == served["hardening"] == config["hardening"]
    assert served["strangers"] == "deny"
    assert served["guard"]["unguarded"] == ["/etc/docker"]
    assert served["roles"]["ci"]["walls"] == config["roles"]["ci"]["hardening"]


def test_the_input_document_has_both_names() -> None:
    document = examples()["container_create_full"]

    assert document["walls"] == document["hardening"] is not None


def _old_form(document: dict[str, Any]) -> dict[str, Any]:
    kept = json.loads(recorded(document) or b"")
    assert "walls" not in kept
    return {**{k: v for k, v in kept.items() if k != "hardening"}, "walls": kept["hardening"]}


def test_audit_files_of_older_versions_are_read_under_the_new_names() -> None:
    document = examples()["container_create_full"]
    line = {
        "event": "blocked_operation",
        "rules": ["walls.drop HostConfig.CapDrop", "mounts.source HostConfig.Binds[0]"],
        "warnings": ["identity.stranger"],
        "input": _old_form(document),
    }

    [found] = read_recordings([Link("0" * 64, "0" * 64, 1, line)])

    assert found.record["rules"] == [
        "hardening.drop HostConfig.CapDrop",
        "mounts.source HostConfig.Binds[0]",
    ]
    assert found.record["warnings"] == ["identity.unmatched-caller"]
    assert found.document is not None
    assert found.document["hardening"] == document["hardening"]
    assert found.document == restored(json.loads(recorded(document) or b""))


@pytest.mark.parametrize("words", [["--only", "walls"], ["--only", "walls.ipc"]])
def test_attack_takes_the_old_family_and_ids(words: list[str]) -> None:
    old = run("attack", "--list", *words)
    new = run("attack", "--list", *[word.replace("walls", "hardening") for word in words])

    assert old.exit_code == 0, old.stderr
    assert old.stdout == new.stdout != ""
    assert f"--only: {words[1]} is now called" in old.stderr


def test_attack_leaves_out_what_an_old_name_stands_for() -> None:
    old = run("attack", "--list", "--except", "walls")

    assert old.exit_code == 0, old.stderr
    assert "hardening." not in old.stdout
    assert "--except: walls is now called hardening" in old.stderr


def test_learn_takes_an_old_rule_id(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["learn", "--file", str(tmp_path / "none"), "--grant", "walls.drop=NET_RAW"]
    )

    assert "--grant: walls.drop is now called hardening.drop" in result.stderr
    assert "is not there" in str(result.exception)  # the id was known


def _answer(evaluated: list[str], rule: str) -> dict[str, Any]:
    denial = {"rule": rule, "field": "", "value": None, "message": "no", "hint": ""}
    return {
        "allow": False, "denials": [denial], "warnings": [], "evaluated": evaluated,
        "profile": "production", "policy_revision": "1", "role": "",
    }  # fmt: skip


def test_decisions_of_an_older_bundle_are_read_under_the_new_names() -> None:
    decision = read_decision(_answer(["walls"], "walls.drop"), frozenset({"hardening"}))

    assert decision.denials[0].rule == "hardening.drop"
    with pytest.raises(EngineError, match="hardening"):
        read_decision(_answer(["mounts"], "walls.drop"), frozenset({"hardening"}))


def _audit_line(rule: str) -> bytes:
    document = {
        "timestamp": "2026-11-01T10:00:00.000+00:00", "source": "opa-authz",
        "event": "blocked_operation", "decision_id": "0" * 16, "operation": "container.create",
        "status": 403, "details": "", "verdict": "deny", "user": "", "certificate": "",
        "method": "POST", "resource": None, "rules": [rule], "warnings": [],
    }  # fmt: skip
    return forge(document, Position(0, "0" * 64))[0]


def _built(text: str, **rules: str) -> FleetPolicy:
    """The policy of a fleet as a version that knew the old names has built it."""
    configuration = json.loads(json.dumps(YAML(typ="safe").load(text), default=str))
    files = {f"{name}.rego": rego for name, rego in rules.items()}
    return FleetPolicy("4f1c", datetime.now(UTC), configuration, files, made_by="0.0.9")


def test_old_names_in_the_bundle_of_a_fleet_are_the_new_ones(tmp_path: Path) -> None:
    local = load(tmp_path / "config.yaml", OLD)

    found = fleet_policy.with_fleet_policy(local, _built(OLD, own=CUSTOM), tmp_path)

    assert found.policy == local.policy
    policy.configuration(found, UnseenHostPaths())
    place = "the bundle of revision 4f1c: "
    assert len(found.warnings) == len(local.warnings) + 4
    assert all(warning.startswith(place) for warning in found.warnings)
    assert f"{place}walls is now called hardening; the old name is accepted until 0.3" in (
        found.warnings
    )
    assert any(f"{place}own.rego:6: input.walls" in warning for warning in found.warnings)


def test_the_bundle_of_a_fleet_with_both_names_is_refused(tmp_path: Path) -> None:
    local = load(tmp_path / "config.yaml", "mode: warn\n")
    with pytest.raises(SettingsError, match="bundle of revision 4f1c: walls: is the old name of"):
        fleet_policy.with_fleet_policy(local, _built("walls: {}\nhardening: {}\n"), tmp_path)


def test_commands_print_the_warning_for_the_policy_that_a_host_has_kept(tmp_path: Path) -> None:
    key = tmp_path / "site.pub.pem"
    key.write_bytes(b"a key")
    fleet_policy.keep(_built("walls: {healthcheck: true}\n"), tmp_path / "kept", b"a key")
    fleet = {"url": "http://127.0.0.1:1", "bundle": "b", "key": str(key)}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"fleet": {**fleet, "folder": str(tmp_path / "kept")}}))

    result = run("exceptions", "--config", str(file))

    assert result.exit_code == 0
    assert result.stderr == (
        "opa-authz: the bundle of revision 4f1c: walls is now called hardening; "
        "the old name is accepted until 0.3\n"
    )


def test_serve_logs_the_warning_at_start_and_at_each_reload(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("walls: {healthcheck: true}\n")
    with running_plugin(tmp_path, f"--config={file}") as plugin:
        assert plugin.log.count(f"{file}:1: walls is now called hardening") == 1

        file.write_text("hardening: {healthcheck: true}\n")
        plugin.reload()
        assert plugin.log.count("is now called") == 1

        file.write_text("mode: warn\nstrangers: deny\n")
        plugin.reload()
        assert plugin.log.count(f"{file}:2: strangers is now called unmatched_callers") == 1


def test_audit_show_finds_an_old_rule_id_under_both_names(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(_audit_line("walls.drop HostConfig.CapDrop"))

    old = run("audit", "show", "--file", str(file), "--rule", "walls.*", "--json")
    new = run("audit", "show", "--file", str(file), "--rule", "hardening.drop", "--json")

    assert json.loads(new.stdout)["rules"] == ["hardening.drop HostConfig.CapDrop"]
    assert old.stdout == new.stdout
    assert "--rule: walls.* is now called hardening.*" in old.stderr
    assert new.stderr == ""


def test_explain_reads_the_record_of_an_older_version(tmp_path: Path) -> None:
    record = {"decision_id": "0" * 16, "verdict": "deny", "rules": ["walls.drop"]}

    found = find_record("0" * 16, [json.dumps(record)])

    assert found["rules"] == ["hardening.drop"]


@pytest.mark.parametrize(
    "expression",
    ["count(data.docker.authz.rules.walls.denials) > 0", 'effective.strangers == "deny"'],
)
def test_own_rego_that_reads_a_name_that_is_gone_is_refused(
    tmp_path: Path, expression: str
) -> None:
    (tmp_path / "own.rego").write_text(
        f"package docker.authz.rules.custom_own\n\ndenials contains {{}} if {expression}\n"
    )
    with pytest.raises(PolicyError, match=r"own\.rego: .* is now called "):
        policy.rule_packages(tmp_path, binary.find())
