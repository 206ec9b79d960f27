"""The policy in force: profiles, overrides, the operator's own rules, and the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from authz_plugin import policy
from authz_plugin.engine import binary
from authz_plugin.errors import PolicyError, SettingsError
from authz_plugin.hostpaths import LocalHostPaths
from tests.conftest import with_policy


def configuration(**settings: Any) -> dict[str, Any]:
    return policy.configuration(with_policy(**settings), LocalHostPaths())


@pytest.mark.parametrize("profile", policy.profiles())
def test_every_profile_is_complete_and_valid(profile: str) -> None:
    config = configuration(profile=profile)
    jsonschema.validate(config, policy.config_schema())
    assert config["profile"] == profile


def test_production_is_the_default() -> None:
    assert configuration()["profile"] == "production"


def test_an_unknown_profile_is_refused_by_the_names_of_the_known() -> None:
    with pytest.raises(SettingsError, match=r"devcontainer, .* production"):
        configuration(profile="none-such")


def test_a_section_is_changed_and_the_others_stay() -> None:
    changed = configuration(profile="production", sections={"exec": "write"})["sections"]
    assert changed == {**configuration(profile="production")["sections"], "exec": "write"}


def test_a_list_is_replaced_and_not_added_to() -> None:
    assert configuration(capabilities={"allow": ["KILL"]})["capabilities"]["allow"] == ["KILL"]


def test_a_root_is_cleaned_resolved_and_writable_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    roots = configuration(mounts={"allow": [{"path": f"{tmp_path}//link/"}]})["mounts"]["allow"]
    assert roots == [
        {"path": f"{tmp_path}/link", "resolved": f"{tmp_path}/real", "read_only": False}
    ]


def test_a_protected_path_is_protected_under_both_its_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    denied = configuration(mounts={"deny": [f"{tmp_path}/link"]})["mounts"]["deny"]
    assert denied == [f"{tmp_path}/link", f"{tmp_path}/real"]


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ({"operations": {"container.strat": "allow"}}, "operations.container.strat"),
        ({"rules": {"mounts.sauce": "warn"}}, "rules.mounts.sauce"),
    ],
)
def test_names_that_nothing_has_are_refused(setting: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as raised:
        configuration(**setting)
    assert raised.value.key == key


def test_rules_of_the_operators_own_may_be_set_to_warn() -> None:
    assert configuration(rules={"custom.mine": "warn"})["rules"] == {"custom.mine": "warn"}


def test_a_bundle_holds_rules_configuration_and_revision_but_no_tests(
    tmp_path: Path, opa: binary.Opa
) -> None:
    config = configuration()
    bundle = policy.assemble(tmp_path / "bundle", config, None, opa)
    files = {str(file.relative_to(bundle.folder)) for file in bundle.folder.rglob("*.*")}
    assert "docker/authz/decision.rego" in files
    assert not [file for file in files if file.endswith("_test.rego") or "examples" in file]
    written = json.loads((bundle.folder / "docker/authz/config/data.json").read_text())
    assert written == config
    about = json.loads((bundle.folder / "docker/authz/bundle/data.json").read_text())
    assert about == {"revision": bundle.revision, "packages": sorted(policy.shipped_rules())}


def test_the_revision_names_the_content(tmp_path: Path, opa: binary.Opa) -> None:
    revisions = [
        policy.assemble(tmp_path / str(i), configuration(profile=profile), None, opa).revision
        for i, profile in enumerate(["production", "production", "devcontainer"])
    ]
    assert revisions[0] == revisions[1] != revisions[2]


CUSTOM = """\
package docker.authz.rules.custom_mine

import data.docker.authz.denial

denials contains denial.of("custom.mine", "path", input.request.path, "no", "yes") if {
	input.request.path == "/info"
}
"""


def test_the_operators_rules_are_part_of_the_bundle(tmp_path: Path, opa: binary.Opa) -> None:
    custom = tmp_path / "custom"
    custom.mkdir()
    (custom / "mine.rego").write_text(CUSTOM)
    bundle = policy.assemble(tmp_path / "bundle", configuration(), custom, opa)
    assert bundle.packages == policy.shipped_rules() | {"custom_mine"}


@pytest.mark.parametrize(
    "package",
    [
        "docker.authz",
        "docker.authz.effective",
        "docker.authz.rules.mounts",
        "docker.authz.rules.custom",
        "docker.authz.config",
        "mine",
    ],
)
def test_the_operators_rules_can_only_add_denials(
    tmp_path: Path, opa: binary.Opa, package: str
) -> None:
    custom = tmp_path / "custom"
    custom.mkdir()
    (custom / "mine.rego").write_text(f"package {package}\n\nmine := 1\n")
    with pytest.raises(PolicyError, match=r"mine\.rego.*custom_"):
        policy.assemble(tmp_path / "bundle", configuration(), custom, opa)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("package docker.authz.rules.custom_x\n\ndenials contains\n", "x.rego:4"),
        ("package docker.authz.rules.custom_x\n\nx := input.bdy\n", "x.rego:3"),
        ("package docker.authz.rules.custom_x\n\nx := data.docker.authz.config.mout\n", "x.rego:3"),
        ("package docker.authz.rules.custom_x\n\nimport data.foo\n", "x.rego:3"),
    ],
    ids=["not Rego", "a misspelt input", "a misspelt setting", "an unused import"],
)
def test_a_rule_that_does_not_compile_is_told_by_file_and_line(
    tmp_path: Path, opa: binary.Opa, text: str, place: str
) -> None:
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom/x.rego").write_text(text)
    with pytest.raises(PolicyError, match=place):
        policy.assemble(tmp_path / "bundle", configuration(), tmp_path / "custom", opa)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, opa: binary.Opa) -> None:
    with pytest.raises(PolicyError, match="not a folder"):
        policy.assemble(tmp_path / "bundle", configuration(), tmp_path / "absent", opa)
