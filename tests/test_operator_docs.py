"""The docs of the operator's tools name everything that the tools say, and nothing else."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.harness.commands import command_named

ROOT = Path(__file__).parents[1]
DOCS = (
    "validate",
    "attack",
    "doctor",
    "explain",
    "compliance",
    "import",
    "troubleshooting",
    "checklists",
)
PAGES = {
    "validate": "validate",
    "attack": "attack",
    "doctor": "doctor",
    "explain": "explain",
    "report": "compliance",
}
"""Commands and the pages that are about them."""


def text(name: str) -> str:
    (page,) = (ROOT / "docs").glob(f"*/{name}.md")
    return page.read_text()


def findings() -> set[str]:
    """The ids of everything that doctor can find."""
    sources = "".join(
        file.read_text() for file in (ROOT / "authz_plugin/tools/doctor").glob("*.py")
    )
    return set(re.findall(r'(?:Finding|_Setting|_Entitlement)\(\s*"([a-z0-9.-]+)"', sources))


def test_every_finding_of_doctor_is_in_its_table_and_no_other() -> None:
    rows = re.findall(r"^\| (`.+?) \|", text("doctor"), re.MULTILINE)
    assert {id_ for row in rows for id_ in re.findall(r"`([^`]+)`", row)} == findings()


@pytest.mark.parametrize("name", PAGES)
def test_every_exit_status_that_help_names_is_documented(name: str) -> None:
    command = command_named(name)
    assert command.help is not None
    (named,) = re.findall(r"Exit status: (.*?)\n\n", command.help, re.DOTALL)
    statuses = set(re.findall(r"\b(\d) ", named))
    assert len(statuses) >= 4
    assert set(re.findall(r"^\| (\d) \|", text(PAGES[name]), re.MULTILINE)) == statuses


def own_commands(name: str) -> list[str]:
    """Every line of the docs that runs this program."""
    line = re.compile(r"^(?:.*[|$] |sudo )?(opa-authz \w.*?)(?: +[#>].*)?$", re.MULTILINE)
    return [command for command in line.findall(text(name)) if "…" not in command]


@pytest.mark.parametrize("name", DOCS)
def test_every_command_line_in_the_docs_is_understood(name: str) -> None:
    found = own_commands(name)
    assert found
    for line in found:
        _, command, *arguments = shlex.split(line)
        command_named(command).make_context(command, arguments, resilient_parsing=False)


@pytest.mark.parametrize("name", PAGES)
def test_help_says_what_every_option_does(name: str) -> None:
    for parameter in command_named(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help


@pytest.mark.parametrize("name", PAGES)
def test_help_keeps_its_examples_one_a_line(name: str) -> None:
    command = command_named(name)
    shown = command.get_help(click.Context(command, info_name=name)).splitlines()
    examples = shown[shown.index("  Examples:") + 1 : shown.index("Options:") - 1]
    assert len(examples) >= 3
    assert all("opa-authz " in line for line in examples)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_works_as_documented(shell: str) -> None:
    variable = "_OPA_AUTHZ_COMPLETE"
    assert f"{variable}={shell}_source opa-authz >" in text("command-line")
    words = {"COMP_WORDS": "opa-authz valid", "COMP_CWORD": "1" if shell != "fish" else "valid"}
    assert variable in run(shell + "_source", {})
    assert "validate" in run(shell + "_complete", words)


def run(completion: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("opa-authz")],
        env={**os.environ, **environment, "_OPA_AUTHZ_COMPLETE": completion},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout
