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

from authz_plugin.configuration import ROOT, SHIPPED, config_schema
from authz_plugin.engine import binary
from authz_plugin.own_rules import DECISION_RULES, OWN_RULES, PLUGIN_RULES
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
