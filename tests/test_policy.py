"""The policy in force: profiles, overrides, the operator's own rules, and the bundle."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from click.testing import CliRunner

from authz_plugin import policy, renamed
from authz_plugin.configuration import complete_profile
from authz_plugin.engine import binary
from authz_plugin.errors import PolicyError, SettingsError
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import load
from authz_plugin.tools.commands.check import check
from tests.conftest import with_policy


def configuration(**settings: Any) -> dict[str, Any]:
    return policy.configuration(with_policy(**settings), LocalHostPaths())


def test_the_schema_of_the_configuration_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(policy.config_schema())


@pytest.mark.parametrize("profile", policy.profiles())
def test_every_profile_is_complete_and_valid(profile: str) -> None:
    config = configuration(profile=profile)
    jsonschema.Draft202012Validator(policy.config_schema()).validate(config)
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
        {
            "path": f"{tmp_path}/link",
            "inside": f"{tmp_path}/link/",
            "resolved": f"{tmp_path}/real",
            "resolved_inside": f"{tmp_path}/real/",
            "read_only": False,
        }
    ]


def test_a_root_that_cannot_be_resolved_has_no_inside_there(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (root,) = configuration(mounts={"allow": [{"path": f"{tmp_path}/loop"}]})["mounts"]["allow"]
    assert (root["resolved"], root["resolved_inside"]) == (None, None)


def test_the_root_of_the_host_has_one_slash() -> None:
    (root,) = configuration(mounts={"allow": [{"path": "/"}]})["mounts"]["allow"]
    assert (root["inside"], root["resolved_inside"]) == ("/", "/")


def test_a_protected_path_is_protected_under_both_its_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    mounts = configuration(mounts={"deny": [f"{tmp_path}/link"]})["mounts"]
    assert mounts["deny"] == [f"{tmp_path}/link", f"{tmp_path}/real"]
    assert mounts["deny_inside"] == [f"{tmp_path}/link/", f"{tmp_path}/real/"]


@pytest.mark.parametrize(
    "given",
    [
        {"mounts": {"deny": ["/srv/secret"], "deny_inside": []}},
        {"mounts": {"deny": ["/srv/secret"]}, "guard": {"places": []}},
        {
            "mounts": {
                "deny": ["/srv/secret"],
                "allow": [{"path": "/srv", "inside": "/", "resolved_inside": "/"}],
            }
        },
        {"mounts": {"deny": ["/srv/secret"]}, "labels": {"reserved_folded": []}},
    ],
)
def test_what_the_plugin_fills_in_cannot_be_set(given: dict[str, Any]) -> None:
    config = configuration(**given)
    guard = config["guard"]
    assert config["mounts"]["deny_inside"] == ["/srv/secret/"]
    assert config["labels"]["reserved_folded"] == config["labels"]["reserved"]
    assert guard["places"] == [*(f"{path}/" for path in guard["paths"]), *guard["prefixes"]]
    assert all(root["inside"] == "/srv/" for root in config["mounts"]["allow"])


def test_what_is_guarded_no_more_is_no_place() -> None:
    guard = configuration(guard={"unprotected_paths": ["/etc/docker"]})["guard"]
    assert "/etc/docker/" not in guard["places"]
    assert "/etc/opa-authz/" in guard["places"]


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
    assert written == renamed.with_old_settings(config)
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
    ("name", "text", "reason"),
    [
        pytest.param("x/data.json", '{"ours": []}', "is not loaded", id="data as JSON"),
        pytest.param("x/data.yaml", "ours: []", "is not loaded", id="data as YAML"),
        pytest.param("x_test.rego", CUSTOM, "must end in _test", id="rules where tests belong"),
        pytest.param(
            "inner.rego",
            CUSTOM.replace("custom_mine", "custom_mine.inner"),
            "would be lost",
            id="denials below a rule package",
        ),
    ],
)
def test_what_would_not_be_served_is_refused_lest_a_denial_gets_lost(
    tmp_path: Path, opa: binary.Opa, name: str, text: str, reason: str
) -> None:
    custom = tmp_path / "custom"
    (custom / "x").mkdir(parents=True)
    (custom / "mine.rego").write_text(CUSTOM)
    (custom / name).write_text(text)
    with pytest.raises(PolicyError, match=reason):
        policy.assemble(tmp_path / "bundle", configuration(), custom, opa)


def test_helpers_tests_and_hidden_files_may_stand_beside_rules(
    tmp_path: Path, opa: binary.Opa
) -> None:
    custom = tmp_path / "custom"
    (custom / ".regal").mkdir(parents=True)
    (custom / ".regal/config.yaml").write_text("rules: {}\n")
    (custom / "mine.rego").write_text(CUSTOM)
    (custom / "words.rego").write_text("package docker.authz.rules.custom_mine.words\n\nx := 1\n")
    (custom / "mine_test.rego").write_text(
        "package docker.authz.rules.custom_mine_test\n\nx := 1\n"
    )
    bundle = policy.assemble(tmp_path / "bundle", configuration(), custom, opa)
    assert bundle.packages == policy.shipped_rules() | {"custom_mine"}
    assert not list(bundle.folder.rglob("*_test.rego"))


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


def test_a_released_rule_that_was_edited_is_compiled_again(
    tmp_path: Path, opa: binary.Opa, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = tmp_path / "policies"
    shutil.copytree(policy.SHIPPED, edited)
    config = configuration()
    monkeypatch.setattr(policy, "SHIPPED", edited)
    policy.assemble(tmp_path / "same", config, None, opa)
    with (edited / policy.ROOT / "rules/users/users.rego").open("a") as file:
        file.write("\nx := input.bdy\n")
    with pytest.raises(PolicyError, match=r"users\.rego:\d+"):
        policy.assemble(tmp_path / "edited", config, None, opa)


def test_rules_are_compiled_where_the_digest_of_the_release_is_lost(
    tmp_path: Path, opa: binary.Opa, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(binary.Opa, "check", lambda *arguments: checked.extend(arguments[2]))
    policy.assemble(tmp_path / "known", configuration(), None, opa)
    assert checked == []
    monkeypatch.setattr(policy, "_CHECKED_DIGEST", tmp_path / "lost")
    policy.assemble(tmp_path / "unknown", configuration(), None, opa)
    assert checked == [policy.SHIPPED / policy.ROOT]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, opa: binary.Opa) -> None:
    with pytest.raises(PolicyError, match="not a folder"):
        policy.assemble(tmp_path / "bundle", configuration(), tmp_path / "absent", opa)


def test_a_profile_extends_another_and_says_what_is_different() -> None:
    production, closed = configuration(profile="production"), configuration(profile="closed")
    assert production["sysctls"] == closed["sysctls"]
    assert production["sections"] == {
        **closed["sections"],
        **dict.fromkeys(("events", "images", "info"), "read"),
        "containers": "write",
    }


def test_a_role_is_everybodys_configuration_with_its_own_changes() -> None:
    config = configuration(
        sections={"exec": "write"},
        roles={"ci": {"callers": [{"user": "ci-*"}], "privileged": {"allow": True}}},
    )
    role = config["roles"]["ci"]
    assert role["callers"] == [{"user": "ci-*"}]
    assert role["profile"] == "production, changed"
    assert role["sections"]["exec"] == "write"
    assert role["privileged"] == {"allow": True}
    assert config["privileged"] == {"allow": False}
    assert set(role) >= set(policy.config_schema()["required"]) - {
        "roles",
        "role_order",
        "default_role",
        "unmatched_callers",
        "exceptions",
        "ping",
    }


def test_a_role_with_a_profile_of_its_own_takes_nothing_from_everybodys() -> None:
    config = configuration(
        sections={"exec": "write"},
        roles={"proxy": {"callers": [{"user": "traefik"}], "profile": "traefik"}},
    )
    role = config["roles"]["proxy"]
    assert role["sections"]["exec"] == "none"
    assert role["operations"]["container.list"] == "allow"


def test_roles_keep_their_order() -> None:
    names = ["zeta", "alpha", "mid"]
    config = configuration(roles={name: {"callers": [{"user": name}]} for name in names})
    assert config["role_order"] == names


EXCEPTION = {
    "rule": "capabilities.add",
    "value": "SYS_PTRACE",
    "when": {"image": "debugger:1"},
    "expires": "2027-01-31",
    "reason": "crashes",
}


def test_an_exception_ends_with_its_day_and_is_warned_about_two_weeks_before() -> None:
    exception = configuration(exceptions=[EXCEPTION])["exceptions"][0]
    assert exception["until"] == "2027-02-01T00:00:00+00:00"
    assert exception["warn_from"] == "2027-01-18T00:00:00+00:00"
    assert exception["when"] == {"image": "docker.io/library/debugger:1"}


@pytest.mark.parametrize(
    ("now", "shown", "ending"),
    [
        ("2026-12-31T12:00:00+00:00", "31 days left", False),
        ("2027-01-20T12:00:00+00:00", "11 days left", True),
        ("2027-02-01T00:00:01+00:00", "over", True),
    ],
)
def test_exceptions_are_listed_with_the_days_that_are_left(
    now: str, shown: str, ending: bool
) -> None:
    config = configuration(exceptions=[EXCEPTION])
    (exemption,) = policy.exceptions(config, datetime.fromisoformat(now))
    assert exemption.ending == ending
    assert str(exemption) == (
        "capabilities.add SYS_PTRACE for image docker.io/library/debugger:1: "
        f"until 2027-01-31 ({shown}), crashes"
    )


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ({"hardening": {"read_only": True}}, "hardening.read_only"),
        ({"resources": {"required": ["disk"]}}, "resources.required[0]"),
        ({"resources": {"max": {"memory": "4 GB"}}}, "resources.max.memory"),
        ({"images": {"allow": ["app[1]"]}}, "images.allow[0]"),
        ({"users": {"execs": ["somebody"]}}, "users.execs[0]"),
        ({"default_role": "ci"}, "default_role"),
        ({"roles": {"ci": {}}}, "roles.ci"),
        ({"roles": {"ci": {"callers": [{}]}}}, "roles.ci.callers[0]"),
        ({"roles": {"ci": {"callers": [], "profile": "none"}}}, "roles.ci.profile"),
        ({"roles": {"ci": {"callers": [], "ping": {}}}}, "roles.ci.ping"),
        (
            {"roles": {"ci": {"callers": [], "operations": {"container.strat": "deny"}}}},
            "roles.ci.operations.container.strat",
        ),
        ({"exceptions": [{**EXCEPTION, "expires": "2027-02-30"}]}, "exceptions[0].expires"),
        ({"exceptions": [{**EXCEPTION, "expires": "soon"}]}, "exceptions[0].expires"),
        ({"exceptions": [{**EXCEPTION, "rule": "mounts.sauce"}]}, "exceptions[0].rule"),
        ({"exceptions": [{**EXCEPTION, "when": {"role": "ci"}}]}, "exceptions[0].when.role"),
        ({"exceptions": [{**EXCEPTION, "when": {}}]}, "exceptions[0].when"),
        (
            {"exceptions": [{k: v for k, v in EXCEPTION.items() if k != "value"}]},
            "exceptions[0]",
        ),
        (
            {"exceptions": [{k: v for k, v in EXCEPTION.items() if k != "reason"}]},
            "exceptions[0]",
        ),
    ],
)
def test_what_is_not_sound_is_refused_by_its_key(setting: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as raised:
        configuration(**setting)
    assert raised.value.key == key


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("alpine:3.*", "docker.io/library/alpine:3.*"),
        ("docker.io/alpine:3.*", "docker.io/library/alpine:3.*"),
        ("index.docker.io/alpine", "docker.io/library/alpine"),
        ("index.docker.io/*", "docker.io/*"),
        ("docker.io/al*", "docker.io/al*"),
        ("Registry.example/app", "registry.example/app"),
        ("REGISTRY/app", "registry/app"),
        ("*.Example/app", "*.example/app"),
        ("team/app", "docker.io/team/app"),
        ("team/*", "docker.io/team/*"),
        ("registry.example/app", "registry.example/app"),
        ("registry:5000/app:1", "registry:5000/app:1"),
        ("localhost/app", "localhost/app"),
        ("*.example/app", "*.example/app"),
        ("*", "*"),
        ("app:1@sha256:0*", "docker.io/library/app@sha256:0*"),
    ],
)
def test_a_pattern_of_images_has_its_registry(written: str, meant: str) -> None:
    assert configuration(images={"allow": [written]})["images"]["allow"] == [meant]


def test_sizes_are_bytes() -> None:
    sizes = {"memory": "4g", "shm": "64m", "swap": 5, "tmpfs": None}
    ceilings = configuration(resources={"max": sizes})["resources"]["max"]
    assert ceilings["memory"] == 4 << 30
    assert ceilings["shm"] == 64 << 20
    assert ceilings["swap"] == 5
    assert ceilings["tmpfs"] is None


def test_the_guards_own_files_are_guarded_under_each_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "link").symlink_to("rules")
    file = tmp_path / "config.yaml"
    file.write_text(f"policies: {tmp_path}/link\nserver: {{socket: {tmp_path}/plugin.sock}}\n")
    settings = load({("config",): str(file)}, {}, policy.config_schema())
    guarded = policy.configuration(settings, LocalHostPaths())["guard"]
    assert set(guarded["paths"]) >= {
        "/etc/docker",
        "/etc/opa-authz",
        "/run/docker/plugins",
        str(file),
        f"{tmp_path}/link",
        f"{tmp_path}/rules",
        f"{tmp_path}/plugin.sock",
    }
    assert "/run/opa-authz-" in guarded["prefixes"]


def test_what_the_configuration_names_is_not_guarded() -> None:
    guarded = configuration(guard={"unprotected_paths": ["/etc/docker"]})["guard"]
    assert "/etc/docker" not in guarded["paths"]
    assert "/etc/opa-authz" in guarded["paths"]


def test_every_key_of_the_configuration_is_described() -> None:
    assert list(_undescribed(policy.config_schema(), "")) == []


def _undescribed(schema: dict[str, Any], key: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        is_role_key = key.endswith("*role") and set(inner) == {"$ref"}
        if not is_role_key and "description" not in inner:
            yield f"{key}.{name}"
        yield from _undescribed(inner, f"{key}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from _undescribed(schema["items"], f"{key}[]")
    for name, inner in schema.get("$defs", {}).items():
        yield from _undescribed(inner, f"*{name}")


def test_an_incomplete_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = policy.config_schema()
    schema["properties"]["containers"]["required"].append("domainname")
    monkeypatch.setattr("authz_plugin.configuration.config_schema", lambda: schema)
    missing = r"profiles/closed\.yaml: containers: needs .*domainname"
    with pytest.raises(SettingsError, match=missing):
        configuration(profile="dozzle-actions")
    with pytest.raises(SettingsError, match=missing):
        complete_profile("dozzle-actions", LocalHostPaths())


def _lists(schema: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every list of texts in the schema that an operator writes, with its description."""
    schema = _followed(schema)
    for name, inner in schema.get("properties", {}).items():
        if "the plugin fills" not in inner.get("description", ""):
            yield from _lists(inner, (*key, name))
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        description = schema.get("description", "")
        for place, text in _lists(others, (*key, "x")):
            yield place, f"{description} {text}"
    if schema.get("type") == "array" and _followed(schema["items"]).get("type") == "string":
        yield key, schema.get("description", "")


def _followed(schema: Any) -> Any:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    return {**policy.config_schema()["$defs"][name], **schema} if name else schema


LISTS: Final = dict(
    found
    for name, section in policy.config_schema()["properties"].items()
    if name not in {"roles", "role_order", "exceptions"}
    for found in _lists(section, (name,))
)


def changed(key: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(key):
        value = {name: value}
    return configuration(profile="production", **value)


def test_the_lists_of_names_are_found() -> None:
    assert len(LISTS) == 50
    assert ("security_options", "allow", "x") in LISTS


@pytest.mark.parametrize("key", LISTS, ids=".".join)
def test_a_list_of_names_takes_a_star_for_any_name_or_says_what_to_write(
    key: tuple[str, ...],
) -> None:
    if re.search(r"\* (alone )?stands for any", LISTS[key]):
        changed(key, ["*"])
        return
    with pytest.raises(SettingsError) as raised:
        changed(key, ["*"])
    assert re.search(r"\*, which is no pattern here|ALL stands for every|one of", str(raised.value))


@pytest.mark.parametrize("key", [key for key in LISTS if "* alone" in LISTS[key]], ids=".".join)
def test_a_list_of_names_in_full_takes_no_other_pattern(key: tuple[str, ...]) -> None:
    changed(key, ["a/b"])
    with pytest.raises(SettingsError, match=r"'a\*' must be written in full, or \* alone"):
        changed(key, ["a*"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("resources", "ulimits"), None),
        (("labels", "required"), ["x"]),
        (("tenancy", "labels"), "x"),
        (("plugins", "privileges"), ["x"]),
        (("security_options", "allow"), ["x"]),
    ],
)
def test_a_name_that_has_values_is_written_in_full(key: tuple[str, ...], value: Any) -> None:
    changed((*key, "name"), value)
    with pytest.raises(SettingsError, match=r"'na\*' must be written in full, without \*"):
        changed((*key, "na*"), value)


def test_the_value_of_a_tenants_label_is_no_pattern() -> None:
    with pytest.raises(SettingsError, match=r"tenancy.labels.owner: '\*' must be written in full"):
        changed(("tenancy", "labels", "owner"), "*")


def test_a_path_that_is_no_pattern_stays_as_written() -> None:
    for key in (("mounts", "deny"), ("guard", "unprotected_paths"), ("devices", "allow")):
        with pytest.raises(SettingsError, match=r"'/srv/\*' must be an absolute path in full"):
            changed(key, ["/srv/*"])
    with pytest.raises(SettingsError, match=r"'/srv/\*' must be an absolute path in full"):
        changed(("mounts", "allow"), [{"path": "/srv/*"}])


@pytest.mark.parametrize(
    ("text", "whom"),
    [
        ("profile: observe\n", ["everybody"]),
        ("profile: observe\nmode: enforce\n", []),
        ("roles: {ci: {callers: [{user: ci}], profile: observe}}\n", ["role ci"]),
        ("mode: warn\nroles: {ci: {callers: [{user: ci}], mode: enforce}}\n",
         ["callers without a role"]),
    ],
)  # fmt: skip
def test_check_warns_of_whom_the_policy_only_records(
    tmp_path: Path, text: str, whom: list[str]
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    done = CliRunner().invoke(check, ["--config", str(tmp_path / "config.yaml")])
    warned = re.findall(r"^warning: mode warn for (.+?): ", done.stderr, re.MULTILINE)
    assert (done.exit_code, warned) == (0, whom)
