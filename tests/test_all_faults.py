"""Every mistake in a settings file is told at once, each with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from authz_plugin import policy, settings
from authz_plugin.cli import cli
from authz_plugin.errors import SettingsError
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import Key

LINES = {
    "profile: prodction": "profile: prodction is not known, did you mean production?",
    "capabilities: {allow: SYS_PTRACE}": "must be a list, for example [SYS_PTRACE]",
    "sections: [exec]": "must be a mapping of keys to values, for example {auth: write}",
    'privileged: {allow: "yes"}': "must be true or false, for example true",
    'resources: {max: {pids: "100"}}': "must be a whole number or null, for example 100",
    "mounts: {allow: /srv}": "must be a list, for example [{path: /srv}]",
    "mount: {}": "no such key, did you mean mounts?",
    "mode: warm": "must be one of enforce, warn",
    "operations: {volume.creat: allow}": "is not known, did you mean volume.create?",
    "rules: {mount.source: warn}": "is not known, did you mean mounts.source?",
    'server: {listen: "127.0.0.1:1"}': "needs server.certificate, server.key, server.client_ca",
    "audit: {inputs: true}": "needs audit.file",
    "default_role: ci": "must be one of the roles: none is set",
    "exceptions: [{rule: none.such, value: x}]": "none.such is not known",
}


def faults(text: str, folder: Path, **environment: str) -> tuple[SettingsError, ...]:
    file = folder / "config.yaml"
    file.write_text(text)
    flags: dict[Key, str] = {("config",): str(file)}

    def check(loaded: settings.Settings) -> None:
        policy.configuration(loaded, LocalHostPaths())

    with pytest.raises(SettingsError) as raised:
        check(settings.load(flags, environment, policy.config_schema(), check))
    return raised.value.faults


def test_all_mistakes_of_a_file_are_told_each_at_its_line(tmp_path: Path) -> None:
    found = faults("\n".join(LINES), tmp_path)
    assert [fault.where for fault in found] == [
        f"{tmp_path}/config.yaml:{line}" for line in range(1, len(LINES) + 1)
    ]
    for fault, told in zip(found, LINES.values(), strict=True):
        assert told in str(fault)


@pytest.mark.parametrize("line", LINES)
def test_one_mistake_alone_is_told_in_the_same_words(tmp_path: Path, line: str) -> None:
    (fault,) = faults(line, tmp_path)
    assert LINES[line] in str(fault)


def test_mistakes_of_roles_and_of_the_environment_are_told_with_the_others(tmp_path: Path) -> None:
    text = "roles:\n  ci: {callers: [], profile: cys}\n  cd: {callers: [], operations: {x: deny}}\n"
    found = faults(text, tmp_path, OPA_AUTHZ_PROFIL="cis")
    assert [fault.key for fault in found] == ["roles.ci.profile", "roles.cd.operations.x", ""]
    assert "did you mean OPA_AUTHZ_PROFILE?" in str(found[2])


def test_every_wrong_type_has_an_example_that_is_accepted(tmp_path: Path) -> None:
    schema = policy.config_schema()
    for name, inner in schema["properties"].items():
        if inner.get("type") not in ["object", "array"] or name == "exceptions":
            continue
        (fault,) = faults(f"{name}: 3\n", tmp_path)
        _, mark, example = fault.message.partition("for example ")
        assert mark
        file = tmp_path / "example.yaml"
        file.write_text(f"{name}: {example}\n")
        flags: dict[Key, str] = {("config",): str(file)}
        assert settings.load(flags, {}, schema).policy[name]


def test_check_prints_a_line_for_each_mistake(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("profile: cys\nmount: {}\n")
    done = CliRunner().invoke(cli, ["check", f"--config={file}"])
    assert isinstance(done.exception, SettingsError)
    assert len(done.exception.faults) == 2
    assert str(done.exception).count(str(file)) == 2
