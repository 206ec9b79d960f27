"""docs/how-to/own-rules.md: its commands, its hooks and its workflow, in a git repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.harness.pages import steps

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/how-to/own-rules.md"
HOOKS: Final = ".pre-commit-hooks.yaml"
BIN: Final = Path(sys.executable).parent

HOOK_CONFIG, WORKFLOW = (
    YAML(typ="safe").load(text)
    for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder with the programs of this environment, as no user of git."""
    names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "OPA_AUTHZ_"))}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={
            **inherited,
            **dict.fromkeys(names, "author@example.com"),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PRE_COMMIT_HOME": str(folder / ".git/pre-commit"),
            "GIT_CONFIG_GLOBAL": os.devnull,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository to which the commands of the page lead, with everything committed."""
    folder = tmp_path_factory.mktemp("repository")
    for step in steps(PAGE):
        done = shell(folder, step.command)
        assert done.returncode == step.status, f"{step.command}\n{done.stdout}{done.stderr}"
        assert step.shows(done.stdout), f"{step.command}\n{done.stdout}"
    assert shell(folder, "git add . && git commit --quiet -m Start").returncode == 0
    return folder


@pytest.fixture
def repository(started: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(started, tmp_path / "repository"))


def break_a_test(repository: Path) -> None:
    test = repository / "rules/custom_registry/custom_registry_test.rego"
    test.write_text(test.read_text().replace('{"custom.registry"}', '{"custom.other"}'))


STEPS: Final = {
    step["name"]: step["run"]
    for step in WORKFLOW["jobs"]["rules"]["steps"]
    if "run" in step and step["name"] != "Install"
}
"""The commands of the workflow by the name of the step, except those that install."""


def test_the_commands_of_the_page_do_what_it_says(started: Path) -> None:
    """The fixture compares them."""
    assert shell(started, "git status --porcelain").stdout == ""


def test_the_workflow_passes_for_sound_rules(repository: Path) -> None:
    assert [shell(repository, command).returncode for command in STEPS.values()] == [0, 0, 0]
    names = {case.get("name") for case in ET.parse(repository / "report.xml").iter("testcase")}
    assert "test_denied: no name" in names


@pytest.mark.parametrize(
    ("place", "step", "status"),
    [
        (
            "library/policies/docker/authz/denial/denial.rego",
            "The library is that of the installed version",
            1,
        ),
        ("rules/custom_registry/custom_registry.rego", "The rules are sound", 3),
        (
            "rules/custom_registry/custom_registry_test.rego",
            "The tests pass and reach every line",
            3,
        ),
    ],
)
def test_the_workflow_fails_at_what_is_wrong(
    repository: Path, place: str, step: str, status: int
) -> None:
    with (repository / place).open("a") as file:
        file.write("\ntest_more if false\n" if place.endswith("_test.rego") else "\nx:=1\n")
    shell(repository, "git commit --quiet -am Break")
    assert shell(repository, STEPS[step]).returncode == status


@pytest.fixture
def hooks(repository: Path, tmp_path: Path) -> Path:
    """The page's configuration of pre-commit, whose repository is one with this project's hooks.

    The hooks use installed programs, so nothing else of the project is needed for them.
    """
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / HOOKS, project)
    shell(project, f"git init --quiet && git add {HOOKS} && git commit --quiet -m Hooks")
    config: dict[str, Any] = dict(HOOK_CONFIG)
    config["repos"][0] |= {"repo": str(project), "rev": revision(project)}
    with (repository / ".pre-commit-config.yaml").open("w") as file:
        YAML(typ="safe").dump(config, file)
    shell(repository, "git add .pre-commit-config.yaml && git commit --quiet -m Hooks")
    return repository


def revision(project: Path) -> str:
    return shell(project, "git rev-parse HEAD").stdout.strip()


def test_the_hooks_stop_a_commit_whose_test_fails_and_no_other(hooks: Path) -> None:
    assert shell(hooks, "pre-commit install").returncode == 0
    break_a_test(hooks)
    stopped = shell(hooks, "git commit -am Break")
    assert stopped.returncode != 0
    assert re.search(r"Check own rules of opa-authz\.+Passed", stopped.stderr)
    assert re.search(r"Test own rules of opa-authz\.+Failed", stopped.stderr)
    assert "exit code: 3" in stopped.stderr
    assert 'expected  {"custom.other"}' in stopped.stderr
    shell(hooks, "git checkout --quiet rules")
    (hooks / "NOTES").write_text("no rule\n")
    made = shell(hooks, "git add NOTES && git commit -m Notes")
    assert made.returncode == 0, made.stderr
    assert made.stderr.count("Skipped") == 2
