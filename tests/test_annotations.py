"""What the policies say of themselves: every denial has an id, a reason and a way out."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from authz_plugin.configuration import ROOT
from authz_plugin.engine import binary
from authz_plugin.hostpaths import SHIPPED
from authz_plugin.journal.masking import may_hold_secret
from authz_plugin.own_rules import DECISION_RULES, OWN_RULES, PLUGIN_RULES
from authz_plugin.rules import RULES, Change, Danger
from authz_plugin.tools.config_changes.denials import DANGERS, FUNCTIONS
from tests.generate.annotations import faults, inspected
from tests.generate.rules import rules

PLUGIN: Final = Path(__file__).parents[1] / "authz_plugin"
DECISION: Final = SHIPPED / ROOT / "decision.rego"


@dataclass(frozen=True, slots=True)
class Written:
    """A rule that denies, as it is written: ``literal`` is the id in its head, None if that is no
    literal; ``said`` are its annotations."""

    package: str
    literal: str | None
    said: dict[str, Any]


@cache
def opa() -> binary.Opa:
    return binary.find()


@cache
def written(file: Path) -> Sequence[Written]:
    """The rules of a file that deny."""
    done = opa().run("parse", "--format", "json", str(file))
    done.check_returncode()
    module = json.loads(done.stdout)
    package = module["package"]["path"][-1]["value"]
    heads = [rule for rule in module["rules"] if rule["head"].get("name") == "denials"]
    annotated = [(rule["head"], *(rule.get("annotations") or [{}])) for rule in heads]
    return [Written(package, _literal(head["key"]), said) for head, said in annotated]


def _literal(key: dict[str, Any]) -> str | None:
    """The first argument of ``denial.of``, which may be that of ``denial.with_detail``."""
    if key["type"] != "call":
        return None
    function, first, *_ = key["value"]
    called = [part["value"] for part in function["value"]][-2:]
    if called == ["denial", "with_detail"]:
        return _literal(first)
    return first["value"] if called == ["denial", "of"] and first["type"] == "string" else None


FILES: Final = [
    file
    for file in sorted((SHIPPED / ROOT / "rules").rglob("*.rego"))
    if not file.name.endswith("_test.rego")
]
DENYING: Final = {
    f"{file.stem}:{i}": (file, i)
    for file in FILES
    for i in range(len(re.findall(r"^denials\b", file.read_text(), re.MULTILINE)))
}
"""The file of each rule that denies and its place among the rules of that file that deny."""


def denying(name: str) -> Written:
    file, place = DENYING[name]
    return written(file)[place]


def test_every_rule_that_denies_is_tested() -> None:
    assert len(DENYING) == sum(len(written(file)) for file in FILES)


@pytest.mark.parametrize("name", DENYING)
def test_a_rule_says_what_it_denies_and_why(name: str) -> None:
    said = denying(name).said
    assert said["title"]
    assert said["description"].strip()
    assert said["custom"]["id"]


@pytest.mark.parametrize("name", DENYING)
def test_the_id_of_a_rule_is_the_one_in_its_denials(name: str) -> None:
    rule = denying(name)
    assert rule.said["custom"]["id"] == rule.literal


@pytest.mark.parametrize("name", DENYING)
def test_the_family_of_an_id_is_its_package(name: str) -> None:
    rule = denying(name)
    family, _, own = rule.said["custom"]["id"].partition(".")
    assert family == rule.package.replace("_", "-")
    assert own


def test_no_rule_has_faulty_metadata() -> None:
    assert list(faults(inspected())) == []


_WRONG: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "another key": ({"setting": ["containers.groups"]}, "setting is not known; known: id, "),
    "another type": ({"settings": "containers.groups"}, "settings must be a list; found 'cont"),
    "an item of another type": ({"records": [1]}, r"records must be a list; found \[1\]"),
    "no remedy": ({"remedy": ""}, "needs remedy"),
    "no settings": ({"settings": []}, "settings must name a key"),
    "an unknown setting": (
        {"settings": ["containers.runtime"], "change": {"add": "containers.runtime"}},
        "settings: containers.runtime is no key of schemas/config.json; .*: .*runtimes, cgroup_",
    ),
    "an unknown section": ({"settings": ["container.x"]}, "settings: container.x .*, containers,"),
    "a change that is none": (
        {"change": {"grow": "containers.runtimes"}},
        "change has one of add, remove, set, function; found {'grow'",
    ),
    "a change of another setting": (
        {"change": {"add": "containers.groups"}},
        "change: containers.groups is none of the rule's settings: containers.runtimes",
    ),
    "a change of no setting": ({"change": {"add": ""}}, "change:  is none of the rule's settings"),
    "an unknown function": (
        {"change": {"function": "imag"}},
        "change: function imag is not known; known: default_bridge, ",
    ),
    "a function with another key": (
        {"change": {"function": "image", "key": "images.names"}},
        "change: images.names is none",
    ),
    "an unknown danger": ({"danger": {"text": "x"}}, "danger has no more than harmless, values"),
    "an unknown function of dangers": (
        {"danger": {"function": "x"}},
        "danger: function x is not known; known: .*system_group",
    ),
    "a baseline of another setting": (
        {"baseline": {"containers.groups": []}},
        "baseline: containers.groups is none of the rule's settings: containers.runtimes",
    ),
    "an unknown fact": ({"records": ["mount"]}, "records: mount is not known; .*, mounts"),
    "an unknown place": ({"records": ["bodies.X"]}, "records: bodies.X is not known; known: body."),
    "the body as a whole": ({"records": ["body"]}, "records: body is not known"),
    "an unknown control": (
        {"controls": ["cis 5.99"]},
        "controls: cis 5.99 is not known; .*cis 5.4",
    ),
    "an unknown standard": ({"controls": ["iso 1"]}, "controls: iso 1 is not known; known: cis, "),
}


@pytest.mark.parametrize("name", _WRONG)
def test_a_fault_in_metadata_names_file_rule_and_what_is_known(name: str) -> None:
    change, message = _WRONG[name]
    (fault, *_) = faults(_changed("containers.runtime", change))
    assert re.match(rf"containers\.rego: containers\.runtime: {message}", fault)


def test_a_rule_unreadable_has_an_id_only() -> None:
    (fault,) = faults(_changed("containers.unreadable", {"remedy": "x"}))
    assert fault.startswith(
        "containers.rego: containers.unreadable: a rule .unreadable has id only"
    )


def test_a_danger_needs_a_change() -> None:
    (fault,) = faults(_changed("containers.command", {"danger": "x"}))
    assert fault.startswith("containers.rego: containers.command: danger is of the change")


def test_a_rule_that_no_setting_opens_names_none() -> None:
    (fault,) = faults(_changed("identity.revoked", {"settings": ["containers.groups"]}))
    assert fault.startswith("identity.rego: identity.revoked: settings must name a key, but for")


def test_a_denial_without_id_or_title_is_a_fault() -> None:
    without = _changed("containers.runtime", {"id": None})
    assert [fault.partition(":")[2].partition(":")[2] for fault in faults(without)] == [
        " the denial needs id in custom"
    ]
    found = copy.deepcopy(inspected())
    for entry in found["annotations"]:
        if entry["annotations"].get("custom", {}).get("id") == "containers.runtime":
            entry["annotations"]["title"] = ""
    assert list(faults(found)) == ["containers.rego: containers.runtime: needs title"]


def _changed(rule: str, change: Mapping[str, Any]) -> Mapping[str, Any]:
    """The output of ``opa inspect`` with other metadata of one rule."""
    (at,) = (
        i
        for i, entry in enumerate(inspected()["annotations"])
        if entry["annotations"].get("custom", {}).get("id") == rule
    )
    changed = copy.deepcopy(inspected()["annotations"][at])
    changed["annotations"]["custom"].update(change)
    return {"annotations": [changed]}


def test_every_function_of_changes_and_dangers_is_named_by_a_rule() -> None:
    changes = [rule.change for rule in RULES.values() if rule.change is not None]
    assert {change.function for change in changes} - {""} == FUNCTIONS.keys()
    assert {rule.danger.function for rule in RULES.values()} - {""} == DANGERS.keys()


def test_no_two_rules_have_a_baseline_of_one_setting() -> None:
    stated = Counter(key for rule in RULES.values() for key in rule.baseline)
    assert [key for key, count in stated.items() if count > 1] == []


def test_no_rule_records_what_may_be_a_secret() -> None:
    places = {place for rule in RULES.values() for place in rule.records}
    assert {place for place in places if may_hold_secret(place)} == set()


@pytest.mark.parametrize(
    "place",
    [
        "body.Env[]",
        "body.TaskTemplate.ContainerSpec.Env[]",
        "body.TaskTemplate.ContainerSpec.Args[]",
        "body.HostConfig.LogConfig.Config.*",
        "body.DriverConfig.Options.*",
        "body.CAConfig.SigningCAKey",
        "body.JoinToken",
        "body.Data",
        "body.[]",
        "query.buildargs",
    ],
)
def test_a_rule_cannot_record_what_may_be_a_secret(place: str) -> None:
    (fault,) = faults(_changed("containers.runtime", {"records": [place]}))
    assert fault.endswith(f"records: {place} may hold a secret and is never recorded")


@pytest.mark.parametrize(
    "change",
    [
        *({}, {"add": "a.b", "set": "a.b"}, {"add": "a.b", "to": True}, {"grow": "a.b"}),
        *("add", {"add": ["a.b"]}, {"set": "a.b"}, {"set": "a.b", "to": 1}),
    ],
    ids=str,
)
def test_a_change_of_another_shape_is_refused(change: Any) -> None:
    with pytest.raises(ValueError, match=r"^change"):
        Change.of(change)


def test_a_danger_of_another_shape_is_refused() -> None:
    for danger in ({"value": "x"}, ["x"]):
        with pytest.raises(ValueError, match=r"^danger"):
            Danger.of(danger)  # type: ignore[arg-type]


def test_a_value_tells_the_danger_itself_or_by_how_it_begins() -> None:
    values = {"plugin.*": "root", "plugin.set*": "settings", "plugin.set": "one"}
    danger = Danger.of({"harmless": ["plugin.list"], "values": values, "otherwise": "other"})
    found = [danger.text(f"plugin.{name}") for name in ("list", "pull", "set", "setting")]
    assert found == ["", "root", "one", "settings"]
    assert danger.text("node") == "other"


def test_no_two_rules_have_an_id_in_common() -> None:
    ids = [rule.said["custom"]["id"] for rule in map(denying, DENYING)]
    assert [id_ for id_, count in Counter([*ids, *OWN_RULES]).items() if count > 1] == []


def test_the_page_of_rules_lacks_none() -> None:
    assert {rule.id for rule in rules()} == {rule.literal for rule in map(denying, DENYING)}


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
    done = opa().run("parse", "--format", "json", str(DECISION))
    done.check_returncode()
    heads = [rule["head"] for rule in json.loads(done.stdout)["rules"]]
    return {id_ for head in heads if "key" in head and (id_ := _literal(head["key"]))}
