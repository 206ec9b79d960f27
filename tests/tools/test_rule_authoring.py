"""Rule authoring by its commands: those of the tutorial in a shell, all others in this process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.errors import SetupError
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.tools import rule_authoring, rule_tests
from tests.conftest import with_policy
from tests.harness.engines import prepare
from tests.harness.in_process import run_command as run
from tests.harness.pages import steps

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial/policy-author.md"
BIN = Path(sys.executable).parent


def run_in_shell(folder: Path, command: str, *programs: Path) -> subprocess.CompletedProcess[str]:
    settings = folder / "etc/config.yaml"
    environment = {
        **os.environ,
        "PATH": ":".join(map(str, (BIN, *programs, os.environ["PATH"]))),
        **({"OPA_AUTHZ_CONFIG": str(settings)} if settings.exists() else {}),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def rules(tmp_path: Path, opa: Opa) -> Path:
    """A folder with a first rule in it, and the test beside it."""
    done = run(tmp_path, "policy", "new", "named", "--into", "rules")
    assert done.returncode == 0, done.stderr
    return tmp_path / "rules/custom_named"


def change(rule: Path, old: str, new: str) -> None:
    text = rule.read_text()
    assert old in text
    rule.write_text(text.replace(old, new))


def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path: Path, opa: Opa) -> None:
    """The folder of the host's settings, /etc/opa-authz, is one below ``tmp_path`` here."""
    names, docker = [], prepare("28.5").docker.parent
    for step in steps(TUTORIAL):
        command = step.command.replace("/etc/opa-authz", f"{tmp_path}/etc")
        done = run_in_shell(tmp_path, command, docker)
        assert done.returncode == step.status, f"{command}\n{done.stdout}{done.stderr}"
        assert step.shows(done.stdout), f"{command}\n{done.stdout}"
        names += re.findall(r"^opa-authz (?:policy )?\w+", command)
        if "policy bench" in command:
            costs = dict(line.split()[:2] for line in done.stdout.splitlines())
            assert float(costs["container_list"]) > 1
    assert {"opa-authz policy new", "opa-authz explain", "opa-authz bundle"} <= set(names)


def test_a_first_rule_is_sound_and_tested(rules: Path) -> None:
    assert run(rules.parent, "policy", "check", ".").stdout == "sound\n"
    assert run(rules.parent, "policy", "test", ".").stdout == "4 passed, 0 failed\n"


def test_a_first_rule_goes_into_a_bundle(rules: Path, opa: Opa, tmp_path: Path) -> None:
    config = policy.configuration(with_policy(), LocalHostPaths())
    bundle = policy.assemble(tmp_path / "bundle", config, rules.parent, opa)
    assert "custom_named" in bundle.packages


@pytest.mark.parametrize("name", ["Named", "a-b", "../x", "", "1a"])
def test_a_name_that_is_no_package_is_refused(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "policy", "new", name)
    assert done.returncode == 1
    assert "is not a name" in done.stderr


def test_a_rule_that_is_there_is_not_overwritten(rules: Path) -> None:
    done = run(rules.parent, "policy", "new", "named", "--into", ".")
    assert done.returncode == 1
    assert "is there already" in done.stderr


def test_a_failing_case_is_named(rules: Path) -> None:
    change(rules / "custom_named_test.rego", '{"name": ["web"]}', '{"name": [""]}')
    done = run(rules.parent, "policy", "test", ".")
    assert done.returncode == 3
    assert "failed: docker.authz.rules.custom_named_test.test_allowed: a name\n" in done.stdout


def test_a_line_that_no_test_reaches_is_named(rules: Path) -> None:
    with (rules / "custom_named.rego").open("a") as rule:
        rule.write(UNREACHED)
    done = run(rules.parent, "policy", "test", ".")
    assert done.returncode == 3
    assert "no test reaches " in done.stdout


def test_a_folder_without_tests_does_not_pass(rules: Path) -> None:
    (rules / "custom_named_test.rego").unlink()
    done = run(rules.parent, "policy", "test", ".")
    assert done.returncode == 3
    assert done.stdout.endswith("no test was found\n")


@pytest.mark.parametrize(
    "command", [lambda opa, folder: rule_tests.test(opa, folder, ""), rule_authoring.bench]
)
def test_without_the_example_requests_nothing_passes(
    command: Callable[[Opa, Path], object],
    rules: Path,
    opa: Opa,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shipped = tmp_path / "policies"
    shutil.copytree(policy.SHIPPED, shipped, ignore=shutil.ignore_patterns("data.json"))
    monkeypatch.setattr(policy, "SHIPPED", shipped)
    with pytest.raises(SetupError, match=r"examples/data.json is missing: run `make generate`"):
        command(opa, rules.parent)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("#   id: custom.named\n", "#   id: named\n", "a custom.id that begins with custom."),
        ("#   id: custom.named\n", "#   id: custom.other\n", "no denial says custom.other"),
        ("# title: A container must have a name\n", "", "lacks its title"),
        ("\tnot _named", "\t  not _named", "not formatted"),
    ],
)
def test_a_rule_with_a_fault_is_not_sound(rules: Path, old: str, new: str, fault: str) -> None:
    change(rules / "custom_named.rego", old, new)
    done = run(rules.parent, "policy", "check", ".")
    assert done.returncode == 3
    assert fault in done.stdout


def test_a_rule_without_a_test_is_not_sound(rules: Path) -> None:
    (rules / "custom_named_test.rego").unlink()
    done = run(rules.parent, "policy", "check", ".")
    assert done.returncode == 3
    assert "has no custom_named_test.rego beside it" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("input.operation.id", "input.operation.idd", "undefined ref"),
        ("docker.authz.rules.custom_named\n", "docker.authz.rules.mounts\n", "custom_<name>"),
        ("denial.of(", "denial.off(", "undefined function"),
        ("denials contains", "denials contains if (", "rego_parse_error"),
    ],
)
def test_a_rule_that_cannot_be_used_is_not_sound(
    rules: Path, old: str, new: str, fault: str
) -> None:
    change(rules / "custom_named.rego", old, new)
    done = run(rules.parent, "policy", "check", ".", "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["sound"] is False
    assert fault in report["faults"][0]


def test_tests_of_a_rule_that_does_not_compile_fail(rules: Path) -> None:
    change(rules / "custom_named.rego", "denial.of(", "denial.off(")
    done = run(rules.parent, "policy", "test", ".", "--json", "--junit", "report.xml")
    assert done.returncode == 3
    assert "undefined function data.docker.authz.denial.off" in json.loads(done.stdout)["faults"][0]
    assert failures(rules.parent / "report.xml") == {"the rules compile"}


@pytest.mark.parametrize("command", ["check", "test"])
def test_without_opa_no_rule_is_called_unsound(
    rules: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(rules / "python"))
    done = run(rules.parent, "policy", command, ".", environment={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1
    assert "run `opa-authz install-opa`" in done.stderr


def failures(report: Path) -> set[str | None]:
    """The names of the test cases of a JUnit file that failed."""
    cases = ET.parse(report).iter("testcase")
    return {case.get("name") for case in cases if case.find("failure") is not None}


EXPRESSION = '{denial.rule | some denial in found} == {"custom.other"}'
UNREACHED = '\n_named if {\n\tinput.request.method == "HEAD"\n\tinput.version == 1\n}\n'


def test_a_failing_case_says_what_was_expected_and_what_the_rule_gave(rules: Path) -> None:
    change(rules / "custom_named_test.rego", '{"custom.named"}', '{"custom.other"}')
    change(rules / "custom_named_test.rego", '"an empty name": {"name": [""]},', "")
    done = run(rules.parent, "policy", "test", ".")
    first, *rest = done.stdout.splitlines()
    assert first == "failed: docker.authz.rules.custom_named_test.test_denied: no name"
    assert [line.strip() for line in rest[:3]] == [
        f"custom_named/custom_named_test.rego:12: {EXPRESSION}",
        'expected  {"custom.other"}',
        'got       {"custom.named"}',
    ]
    assert rest[3].strip().startswith('found is {{"field": "query.name", "hint":')


FAILING = {
    "test_got_first if {\n\tn := 1\n\tn == 2\n}": ["n == 2", "expected  2", "got       1"],
    "test_got_last if {\n\tn := 1\n\t2 == n\n}": ["2 == n", "expected  2", "got       1"],
    'test_in if {\n\tm := {"b", "a"}\n\t"c" in m\n}': ['"c" in m', 'm is {"a", "b"}'],
    "test_list if {\n\tn := 2\n\t[x | some x in [n, null]] == []\n}": [
        "[x | some x in [n, null]] == []",
        "expected  []",
        "got       [2, null]",
        "n is 2",
    ],
    "test_set if {\n\tm := {1}\n\tm == set()\n}": [
        "m == set()",
        "expected  set()",
        "got       {1}",
    ],
    "test_no_set if {\n\tm := {1}\n\t{x | some x in m; x > 1} == m\n}": [
        "{x | some x in m; x > 1} == m",
        "expected  {1}",
        "got       set()",
    ],
    "test_empty if {\n\tm := examples.ping.mounts\n\t{x.id | some x in m} == {1}\n}": [
        "{x.id | some x in m} == {1}",
        "expected  {1}",
        "got       set()",
        "m is []",
    ],
    "test_no if {\n\tm := {x | some x in examples.ping.hosts}\n\t{y.a | some y in m} == {1}\n}": [
        "{y.a | some y in m} == {1}",
        "expected  {1}",
        "got       set()",
    ],
    'test_deep if {\n\to := {"a": [{1, 2}]}\n\t[s | some s in o.a] == [{2}]\n}': [
        "[s | some s in o.a] == [{2}]",
        "expected  [{2}]",
        "got       [{1, 2}]",
        'o is {"a": [{1, 2}]}',
    ],
    "test_not if {\n\tn := {}\n\tnot n\n}": ["not n", "n is {}"],
    "test_error if f(1) == 1\n\nf(x) := x\n\nf(x) := x + 1": [
        "functions must not produce multiple outputs for same inputs"
    ],
    "test_undefined if examples.nothing.more": ["does not hold, or is undefined"],
    "test_long if {\n\tl := numbers.range(1, 900)\n\tcount(l) == 1\n}": [
        "count(l) == 1",
        "expected  1",
        "got       900",
        f"l is {str([*range(1, 900)])[:400]}…",
    ],
}
"""Tests that fail, each with what is said of it."""


def test_the_expression_that_does_not_hold_is_shown(rules: Path) -> None:
    head = "package docker.authz.rules.custom_named_test\n\nimport data.docker.authz.examples"
    (rules / "more_test.rego").write_text("\n\n".join([head, *FAILING]))
    done = run(rules.parent, "policy", "test", ".", "--run", "_test.test_", "--json")
    assert done.returncode == 3
    said = {}
    for failure in json.loads(done.stdout)["failures"]:
        values = [f"{name} is {value}" for name, value in failure["values"].items()]
        sides = [f"expected  {failure['expected']}", f"got       {failure['got']}"]
        name = failure["test"].rpartition(".")[2]
        first = failure["message"] or failure["expression"]
        said[name] = [first, *(sides if failure["got"] else []), *values]
    assert said == {text.partition(" ")[0]: lines for text, lines in FAILING.items()}


def test_tests_can_be_chosen_and_a_choice_measures_no_coverage(rules: Path) -> None:
    with (rules / "custom_named.rego").open("a") as rule:
        rule.write(UNREACHED)
    chosen = run(rules.parent, "policy", "test", ".", "--run", "custom_named_test.test_allowed")
    assert chosen.stdout == "2 passed, 0 failed\n"
    assert chosen.returncode == 0
    assert run(rules.parent, "policy", "test", ".").returncode == 3
    other = run(rules.parent, "policy", "test", ".", "--run", "custom_other")
    assert (other.returncode, other.stdout) == (3, "no test was found\n")


def test_a_wrong_choice_is_a_wrong_command_line(rules: Path) -> None:
    done = run(rules.parent, "policy", "test", ".", "--run", "(")
    assert done.returncode == 2
    assert "--run: error parsing regexp" in done.stderr


def test_the_report_for_ci_names_each_case(rules: Path) -> None:
    file = rules.parent / "report.xml"
    change(rules / "custom_named_test.rego", '{"name": ["web"]}', '{"name": [""]}')
    assert run(rules.parent, "policy", "test", ".", "--junit", str(file)).returncode == 3
    names = {case.get("name") for case in ET.parse(file).iter("testcase")}
    assert names == {
        "test_denied: no name",
        "test_denied: an empty name",
        "test_allowed: a name",
        "test_allowed: something else",
    }
    assert failures(file) == {"test_allowed: a name"}
    assert "expected  0" in file.read_text()
    change(rules / "custom_named_test.rego", '{"name": [""]})', '{"name": ["web"]})')
    change(rules / "custom_named.rego", "\n_named if", f"{UNREACHED}\n_named if")
    run(rules.parent, "policy", "test", ".", "--junit", str(file))
    assert failures(file) == {"every line of a rule is reached"}


def test_a_report_holds_no_character_that_xml_cannot(rules: Path) -> None:
    file = rules.parent / "report.xml"
    change(rules / "custom_named_test.rego", '"no name"', r'"no \u0007 name"')
    change(rules / "custom_named_test.rego", '{"custom.named"}', '{"custom.other"}')
    run(rules.parent, "policy", "test", ".", "--junit", str(file))
    assert "test_denied: no ? name" in failures(file)
