"""The same policy has one revision and one name, wherever it is looked at."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from authz_plugin import policy, settings
from authz_plugin.cli import cli
from authz_plugin.engine import binary
from authz_plugin.hostpaths import LocalHostPaths, UnseenHostPaths
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Key, Settings
from authz_plugin.supervisor.embedded_engine import Embedded
from authz_plugin.tools.sandbox import open_sandbox

CONFIG: Final = """\
sections: {exec: write}
mounts: {allow: [{path: /srv/app}]}
roles: {ci: {callers: [{user: ci}], profile: cis}}
"""
Look = Callable[[Path, Path], tuple[str, str]]
"""Returns the revision and the name of the policy of a settings file; may write into a folder."""


def load(file: Path) -> Settings:
    flags: dict[Key, Any] = {("config",): str(file)}
    return settings.load(flags, {}, policy.config_schema())


def by_plugin(file: Path, folder: Path) -> tuple[str, str]:
    """As ``serve`` puts it in force, with a socket of its own."""
    flags: dict[Key, Any] = {
        ("config",): str(file),
        ("server", "socket"): str(folder / "elsewhere/plugin.sock"),
    }
    status = SharedStatus()
    engine = Embedded(status)
    try:
        found = engine.start(settings.load(flags, {}, policy.config_schema()))
    finally:
        engine.close()
    facts = status.read()
    assert (facts["revision"], facts["profile"]) == (found.revision, found.profile)
    return found.revision, found.profile


def by_check(file: Path, folder: Path) -> tuple[str, str]:
    del folder
    return _printed("check", f"--config={file}", "--json")


def by_bundle(file: Path, folder: Path) -> tuple[str, str]:
    output = folder / "bundle.tar.gz"
    printed = _printed("bundle", f"--config={file}", f"--output={output}", "--json")
    with tarfile.open(output) as archive:
        manifest = archive.extractfile(".manifest")
        assert manifest is not None
        assert json.load(manifest)["revision"] == printed[0]
    return printed


def by_validate(file: Path, folder: Path) -> tuple[str, str]:
    del folder
    with open_sandbox(load(file)) as sandbox:
        return sandbox.bundle.revision, sandbox.bundle.profile


def _printed(*words: str) -> tuple[str, str]:
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    printed = json.loads(done.stdout)
    return printed["policy_revision"], printed["profile"]


PLACES: Final[dict[str, Look]] = {
    "the running plugin": by_plugin,
    "check": by_check,
    "bundle": by_bundle,
    "validate": by_validate,
}


def test_one_file_has_one_revision_and_one_name_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    found = {name: look(file, tmp_path) for name, look in PLACES.items()}
    assert len(set(found.values())) == 1, found
    assert found["check"][1] == "production, changed"


def test_a_copy_of_a_file_has_its_revision(tmp_path: Path) -> None:
    revisions = set()
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(CONFIG)
        revisions.add(by_check(tmp_path / name, tmp_path))
    assert len(revisions) == 1


def revision(folder: Path, opa: binary.Opa, config: dict[str, Any]) -> str:
    return policy.assemble(folder, config, None, opa).revision


@pytest.mark.parametrize(
    "changes",
    [
        "sections: {exec: read}",
        "mounts: {deny: [/srv/x]}",
        "mounts: {allow: [{path: /srv/app, read_only: true}]}",
        "guard: {unprotected_paths: [/etc/docker]}",
        "roles: {ci: {callers: [{user: ci}], profile: closed}}",
        "roles: {ci: {callers: [{user: cd}], profile: cis}}",
        "mode: warn",
    ],
)
def test_another_policy_has_another_revision(tmp_path: Path, opa: binary.Opa, changes: str) -> None:
    file = tmp_path / "config.yaml"
    revisions = set()
    for name, text in (("one", CONFIG), ("two", f"{changes}\n")):
        file.write_text(text)
        config = policy.configuration(load(file), LocalHostPaths())
        revisions.add(revision(tmp_path / name, opa, config))
    assert len(revisions) == 2


def test_a_host_that_is_not_seen_gives_the_same_revision(tmp_path: Path, opa: binary.Opa) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    seen, unseen = (
        revision(tmp_path / name, opa, policy.configuration(load(file), paths))
        for name, paths in (("seen", LocalHostPaths()), ("unseen", UnseenHostPaths()))
    )
    assert seen == unseen


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{}", "production"),
        ("profile: cis", "cis"),
        ("profile: production\nsections: {exec: none}", "production"),
        ("profile: cis\nmode: warn", "cis, changed"),
        ("mounts: {allow: [{path: /srv}]}", "production, changed"),
        ("rules: {mounts.source: warn}", "production, changed"),
        ("roles: {ci: {callers: [{user: ci}], profile: cis}}", "production"),
    ],
)
def test_a_configuration_bears_a_profiles_name_alone_only_where_nothing_of_it_is_changed(
    tmp_path: Path, text: str, name: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"{text}\n")
    assert policy.configuration(load(file), LocalHostPaths())["profile"] == name


def test_a_role_bears_the_name_of_its_own_profile(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "sections: {exec: write}\n"
        "roles:\n"
        "  own: {callers: [{user: a}], profile: cis}\n"
        "  changed: {callers: [{user: b}], profile: cis, mode: warn}\n"
        "  everybodys: {callers: [{user: c}]}\n"
    )
    roles = policy.configuration(load(file), LocalHostPaths())["roles"]
    names = {role: config["profile"] for role, config in roles.items()}
    assert names == {
        "own": "cis", "changed": "cis, changed", "everybodys": "production, changed"
    }  # fmt: skip
