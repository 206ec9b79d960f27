"""What the policies say of themselves: every denial has an id, a reason and a way out."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from authz_plugin.configuration import ROOT, config_schema
from authz_plugin.engine import binary
from authz_plugin.hostpaths import SHIPPED
from authz_plugin.journal import recording
from authz_plugin.own_rules import DECISION_RULES, OWN_RULES, PLUGIN_RULES
from authz_plugin.rules import RULES, Change, Danger
from authz_plugin.tools.compliance.controls import TABLED, standard
from authz_plugin.tools.learning.denials import DANGERS, FUNCTIONS
from tests.generate.rules import rules

PLUGIN: Final = Path(__file__).parents[1] / "authz_plugin"
DECISION: Final = SHIPPED / ROOT / "decision.rego"

NO_SETTING: Final = {"identity.revoked", "request.incomplete"}
"""Rules that nothing opens, beside those that deny what cannot be read."""


@dataclass(frozen=True, slots=True)
class Written:
    """A rule that denies, as it is written: ``literal`` is the id in its head, None if that is no
    literal; ``said`` are its annotations."""

    package: str
    literal: str | None
    said: dict[str, Any]


def written(file: Path) -> Iterator[Written]:
    """The rules of a file that deny."""
    done = binary.find().run("parse", "--format", "json", str(file))
    done.check_returncode()
    module = json.loads(done.stdout)
    for rule in module["rules"]:
        if rule["head"].get("name") == "denials":
            (said,) = rule.get("annotations") or [{}]
            package = module["package"]["path"][-1]["value"]
            yield Written(package, _literal(rule["head"]["key"]), said)


def _literal(key: dict[str, Any]) -> str | None:
    """The first argument of ``denial.of``."""
    if key["type"] != "call":
        return None
    function, first, *_ = key["value"]
    made = [part["value"] for part in function["value"]][-2:] == ["denial", "of"]
    return first["value"] if made and first["type"] == "string" else None


def denying() -> dict[str, Written]:
    files = sorted((SHIPPED / ROOT / "rules").rglob("*.rego"))
    return {
        f"{file.stem}:{i}": rule
        for file in files
        if not file.name.endswith("_test.rego")
        for i, rule in enumerate(written(file))
    }


DENYING: Final = denying()


@pytest.mark.parametrize("name", DENYING)
def test_a_rule_says_what_it_denies_and_why(name: str) -> None:
    said = DENYING[name].said
    assert said["title"]
    assert said["description"].strip()
    assert said["custom"]["id"]


@pytest.mark.parametrize("name", DENYING)
def test_the_id_of_a_rule_is_the_one_in_its_denials(name: str) -> None:
    rule = DENYING[name]
    assert rule.said["custom"]["id"] == rule.literal


@pytest.mark.parametrize("name", DENYING)
def test_the_family_of_an_id_is_its_package(name: str) -> None:
    rule = DENYING[name]
    family, _, own = rule.said["custom"]["id"].partition(".")
    assert family == rule.package.replace("_", "-")
    assert own


@pytest.mark.parametrize("name", DENYING)
def test_a_rule_says_what_opens_it_and_what_to_do_instead(name: str) -> None:
    custom = DENYING[name].said["custom"]
    if custom["id"].endswith(".unreadable"):
        assert custom.keys() == {"id"}
        return
    assert custom["remedy"]
    assert bool(custom.get("settings")) is (custom["id"] not in NO_SETTING)


@pytest.mark.parametrize("name", DENYING)
def test_a_setting_that_opens_a_rule_exists(name: str) -> None:
    for key in DENYING[name].said["custom"].get("settings", ()):
        schema: Any = config_schema()
        for part in key.split("."):
            schema = schema["properties"][part]


@pytest.mark.parametrize("name", DENYING)
def test_metadata_has_known_names_alone(name: str) -> None:
    known = {"id", "settings", "remedy", "change", "danger", "baseline", "records", "controls"}
    assert DENYING[name].said["custom"].keys() <= known


@pytest.mark.parametrize("id_", RULES)
def test_a_change_is_of_a_setting_or_names_a_function(id_: str) -> None:
    change, danger = RULES[id_].change, RULES[id_].danger
    assert not danger.function or danger.function in DANGERS
    if change is None:
        assert danger == Danger()
    elif change.action == "function":
        assert change.function in FUNCTIONS
        assert not change.key or ".".join(change.key) in RULES[id_].settings
    else:
        assert ".".join(change.key) in RULES[id_].settings


def test_every_function_of_changes_and_dangers_is_named_by_a_rule() -> None:
    changes = [rule.change for rule in RULES.values() if rule.change is not None]
    assert {change.function for change in changes} - {""} == FUNCTIONS.keys()
    assert {rule.danger.function for rule in RULES.values()} - {""} == DANGERS.keys()


def test_a_baseline_is_of_the_rules_own_settings_and_of_each_once() -> None:
    stated = [(rule, key) for rule in RULES.values() for key in rule.baseline]
    assert [(rule.id, key) for rule, key in stated if key not in rule.settings] == []
    assert [key for key, count in Counter(key for _, key in stated).items() if count > 1] == []


def test_what_is_recorded_exists_and_is_no_secret() -> None:
    places = {place for rule in RULES.values() for place in rule.records}
    facts = json.loads((SHIPPED / "schemas/input.json").read_text())["properties"].keys()
    known = facts - {"body", "request"}
    assert {place for place in places if "." not in place} <= known
    assert {place.partition(".")[0] for place in places if "." in place} <= {"body", "query"}
    assert places & recording._SECRETS == set()


def test_every_control_that_a_rule_names_exists() -> None:
    known = {(name, control.id) for name in TABLED for control in standard(name).controls}
    assert {control for rule in RULES.values() for control in rule.controls} <= known


@pytest.mark.parametrize(
    "change",
    [{}, {"add": "a.b", "set": "a.b"}, {"add": "a.b", "to": True}, {"grow": "a.b"}],
    ids=str,
)
def test_a_change_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a change has one of"):
        Change.of(change)


def test_a_danger_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="a danger has no more than"):
        Danger.of({"value": "x"})


def test_a_value_tells_the_danger_itself_or_by_how_it_begins() -> None:
    values = {"plugin.*": "root", "plugin.set*": "settings", "plugin.set": "one"}
    danger = Danger.of({"harmless": ["plugin.list"], "values": values, "otherwise": "other"})
    found = [danger.text(f"plugin.{name}") for name in ("list", "pull", "set", "setting")]
    assert found == ["", "root", "one", "settings"]
    assert danger.text("node") == "other"


def test_no_two_rules_have_an_id_in_common() -> None:
    ids = [rule.said["custom"]["id"] for rule in DENYING.values()]
    assert [id_ for id_, count in Counter([*ids, *OWN_RULES]).items() if count > 1] == []


def test_the_page_of_rules_lacks_none() -> None:
    assert {rule.id for rule in rules()} == {rule.literal for rule in DENYING.values()}


def test_every_id_of_the_plugins_own_is_told_of() -> None:
    raised = {id_ for file in PLUGIN.rglob("*.py") for id_ in _first_arguments(file)}
    assert raised == set(PLUGIN_RULES)


def test_every_id_of_the_decision_is_told_of() -> None:
    assert _decision_ids() == set(DECISION_RULES)


def _first_arguments(file: Path) -> Iterator[str]:
    """The ids of the denials and refusals that a module makes."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if node.func.id in {"Denial", "Refused"} and isinstance(first, ast.Constant):
                yield str(first.value)


def _decision_ids() -> set[str]:
    done = binary.find().run("parse", "--format", "json", str(DECISION))
    done.check_returncode()
    heads = [rule["head"] for rule in json.loads(done.stdout)["rules"]]
    return {id_ for head in heads if "key" in head and (id_ := _literal(head["key"]))}
