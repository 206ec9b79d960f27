"""The commands of docs/learn.md, run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import click
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from authz_plugin.cli import cli
from authz_plugin.tools.sandbox import open_sandbox
from tests.conftest import with_policy
from tests.corpus import FILE as CORPUS
from tests.tools.learning.days import create, get, write_day

PAGE: Final = (Path(__file__).parents[3] / "docs/learn.md").read_text()
COMMANDS: Final = re.findall(r"^```sh\n(opa-authz .+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
SETTINGS: Final = re.findall(r"^```yaml\n(profile: .+?)```$", PAGE, re.MULTILINE | re.DOTALL)[0]
OUTCOMES: Final = {"learn": 0, "check": 0, "replay": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the settings of the docs and a day in their audit file."""
    found = tmp_path_factory.mktemp("docs")
    settings = SETTINGS.replace("/var/log/opa-authz/audit.jsonl", f"{found}/audit.jsonl")
    assert settings != SETTINGS
    (found / "config.yaml").write_text(settings)
    (found / "requests.jsonl").write_text("\n".join(CORPUS.read_text().splitlines()[:60]))
    policy = {name: YAML().load(settings)[name] for name in ("profile", "mode")}
    with open_sandbox(with_policy(**policy)) as sandbox:
        requests = [get("/info"), get("/volumes"), create(Privileged=True)]
        write_day(found / "audit.jsonl", sandbox, [*requests, create(CapAdd=["SYS_PTRACE"])])
    return found


def test_every_command_does_what_the_page_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPA_AUTHZ_CONFIG", str(folder / "config.yaml"))
    assert len(COMMANDS) == 6
    for command in COMMANDS:
        line, _, target = command.partition(" > ")
        _, name, *arguments = shlex.split(line)
        done = CliRunner().invoke(cli, [name, *arguments])
        assert done.exit_code == OUTCOMES[name], (command, done.output, done.exception)
        if target:
            (folder / target).write_text(done.stdout)


@pytest.mark.parametrize("name", ["learn", "replay"])
def test_every_exit_status_that_help_names_is_documented(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    (named,) = re.findall(r"Exit status: (.*?)\n\n", command.help, re.DOTALL)
    statuses = set(re.findall(r"\b(\d) ", named))
    assert len(statuses) >= 3
    assert statuses <= set(re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize("name", ["learn", "replay"])
def test_help_says_what_every_option_does(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
