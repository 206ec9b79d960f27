"""Rule authoring by its commands: those of the tutorial in a shell, all others in this process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.errors import PolicyError
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.tools import rule_authoring
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
        rule.write('\n_named if {\n\tinput.request.method == "HEAD"\n\tinput.version == 1\n}\n')
    done = run(rules.parent, "policy", "test", ".")
    assert done.returncode == 3
    assert "no test reaches " in done.stdout


def test_a_folder_without_tests_does_not_pass(rules: Path) -> None:
    (rules / "custom_named_test.rego").unlink()
    done = run(rules.parent, "policy", "test", ".")
    assert done.returncode == 3
    assert done.stdout.endswith("0 passed, 0 failed\n")


@pytest.mark.parametrize("command", [rule_authoring.test, rule_authoring.bench])
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
    with pytest.raises(PolicyError, match=r"examples/data.json is missing: run `make generate`"):
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
    ],
)
def test_a_rule_that_cannot_be_used_says_why(rules: Path, old: str, new: str, fault: str) -> None:
    change(rules / "custom_named.rego", old, new)
    done = run(rules.parent, "policy", "check", ".")
    assert done.returncode == 1
    assert fault in done.stderr
    assert "Traceback" not in done.stderr
