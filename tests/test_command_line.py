"""Help that tells how to use a command, JSON on every end of one, and completion."""

from __future__ import annotations

import io
import json
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from authz_plugin import policy, settings
from authz_plugin.cli import cli, main
from authz_plugin.cli.terminal import Progress, working
from authz_plugin.errors import PolicyError
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.supervisor.engines import start_engine
from authz_plugin.supervisor.gunicorn_process import GunicornProcess, receive_sockets


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of the group, of its commands and of theirs."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield *path, name


COMMANDS = list(commands(cli))
PAGE = Path(__file__).parents[1] / "docs/reference/command-line.md"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_and_the_exit_statuses(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(cli, [*words, "--help"]).stdout
    assert "Exit status: " in text
    assert "Examples:\n" in text
    assert " ".join(["opa-authz", *words]) in text.partition("Examples:\n")[2]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_page_names_every_command(words: tuple[str, ...]) -> None:
    lines = PAGE.read_text().splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `opa-authz ")}
    if words:
        row = rows[f"opa-authz {words[0]}"]
        assert [word for word in words[1:] if f"`{word}`" not in row] == []


@pytest.mark.parametrize("words", [(), ("audit",), ("deploy",), ("identity",), ("policy",)])
def test_the_list_of_commands_says_the_whole_of_what_each_does(words: tuple[str, ...]) -> None:
    listed = CliRunner().invoke(cli, [*words, "--help"]).stdout.partition("\nCommands:\n")[2]
    assert listed.strip()
    assert "..." not in listed


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_is_described(words: tuple[str, ...]) -> None:
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), word)
        assert inner is not None
        command = inner
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_help_lists_the_profiles(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(cli, [*words, "--help"]).stdout
    named = [name for name in policy.profiles() if f"{name}," in text]
    assert len(named) < 3


def test_the_profiles_are_listed_where_the_help_says() -> None:
    done = CliRunner().invoke(cli, ["check", "--profile", "list"])
    assert (done.exit_code, done.stdout.split()) == (0, policy.profiles())


@pytest.mark.parametrize(
    ("words", "starts", "expected"),
    [
        ([], "va", "validate"),
        (["check"], "--pro", "--profile"),
        (["check", "--profile"], "port", "portainer"),
    ],
)
def test_commands_options_and_profiles_are_completed(
    words: list[str], starts: str, expected: str
) -> None:
    completion = ShellComplete(cli, {}, "opa-authz", "_OPA_AUTHZ_COMPLETE")
    assert expected in [item.value for item in completion.get_completions(words, starts)]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("error", [_Terminal(), io.StringIO()], ids=["a terminal", "a file"])
def test_progress_is_shown_on_a_terminal_alone_and_removed(
    monkeypatch: pytest.MonkeyPatch, error: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", error)
    with working("examining the host"), Progress("checks") as progress:
        progress.show(1, 2)
    shown = error.getvalue()
    if error.isatty():
        assert "examining the host …" in shown
        assert "1/2 checks" in shown
        assert shown.endswith("\r\x1b[K")
    else:
        assert shown == ""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the program with words; return its status, the JSON that it printed and its messages."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*words: str) -> tuple[object, Any, str]:
        monkeypatch.setattr(sys, "argv", ["opa-authz", *words])
        with pytest.raises(SystemExit) as raised:
            main()
        shown = capsys.readouterr()
        return raised.value.code, json.loads(shown.out) if shown.out else None, shown.err

    yield run
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_wrong_settings_are_json_with_the_places_of_all(ends: Any, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("profile: prodction\nmount: {}\n")
    status, printed, messages = ends("check", f"--config={file}", "--json")
    assert status == printed["status"] == 2
    assert [fault["where"] for fault in printed["error"]["settings"]] == [
        f"{file}:1", f"{file}:2"
    ]  # fmt: skip
    assert printed["error"]["settings"][0]["key"] == "profile"
    assert messages.count(f"opa-authz: {file}:") == 2


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["check", "--jsn", "--json"], 2, "--jsn"),
        (["chck", "--json"], 2, "chck"),
        (["check", "--json", "--policies", "/none"], 3, "/none is not a folder"),
        (["validate", "--json", "-H", "unix:///none", "--config", "/dev/null"], 1, "/none"),
    ],
)
def test_every_error_is_json_too_with_the_same_status(
    ends: Any, words: list[str], status: int, told: str
) -> None:
    got, printed, messages = ends(*words)
    assert got == printed["status"] == status
    assert told in printed["error"]["message"]
    assert told in messages


def test_own_rules_that_do_not_compile_are_not_sound(ends: Any, tmp_path: Path) -> None:
    (tmp_path / "own.rego").write_text(
        "package docker.authz.rules.custom_own\n\ndenials contains denial.off(1)\n"
    )
    words = ("check", "--config=/dev/null", f"--policies={tmp_path}")
    status, printed, messages = ends(*words, "--json")
    assert status == printed["status"] == 3
    assert f"{tmp_path}/own.rego:3: rego_" in printed["error"]["message"]
    assert messages.startswith("opa-authz: ")
    assert f"{tmp_path}/own.rego:3: rego_" in messages
    assert ends(*words)[:2] == (3, None)


def wait_for_sockets(supervisor: socket.socket) -> NoReturn:
    receive_sockets(supervisor)
    raise AssertionError


@pytest.mark.parametrize("text", [None, "package docker.authz.rules.users\n"])
def test_an_installation_that_lost_shipped_rules_is_not_sound_in_the_words_of_serve(
    ends: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    damaged = tmp_path / "policies"
    shutil.copytree(policy.SHIPPED, damaged)
    monkeypatch.setattr(policy, "SHIPPED", damaged)
    shutil.rmtree(damaged / policy.ROOT / "rules/users")
    if text is not None:
        (damaged / policy.ROOT / "rules/users").mkdir()
        (damaged / policy.ROOT / "rules/users/users.rego").write_text(text)
    loaded = settings.load({("config",): "/dev/null"}, {}, policy.config_schema())
    with pytest.raises(PolicyError) as refused:
        start_engine(
            loaded, SharedStatus(), lambda _: None, lambda *_: GunicornProcess(wait_for_sockets)
        )
    said = "the policy gives no complete decision: rule packages did not answer: users"
    assert str(refused.value) == said
    status, printed, messages = ends("check", "--config=/dev/null", "--json")
    assert (status, printed["error"]["message"], messages) == (3, said, f"opa-authz: {said}\n")


@pytest.mark.parametrize(
    ("engine", "status", "said"),
    [("embedded", 3, "which only OPA's server has: set engine to auto or opa"), ("auto", 0, "")],
)
def test_rules_that_only_opas_server_has_are_sound_unless_the_settings_exclude_it(
    ends: Any, tmp_path: Path, engine: str, status: int, said: str
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.rego").write_text(
        "package docker.authz.rules.custom_own\n\nimport data.docker.authz.denial\n\n"
        'denials contains denial.of("custom.own", "", "", "no", "") if {\n'
        '\tcrypto.sha256("a") == input.request.path\n}\n'
    )
    config = tmp_path / "config.yaml"
    config.write_text(f"engine: {engine}\npolicies: {rules}\n")
    code, _, messages = ends("check", f"--config={config}", "--json")
    assert code == status
    assert said in messages


def test_without_json_an_error_is_a_message_alone(ends: Any) -> None:
    status, printed, messages = ends("explain", "nothing", "--", "docker", "--json")
    assert (status, printed) != (0, None)
    assert messages
    assert printed is None


def test_success_and_help_have_status_0(ends: Any) -> None:
    status, printed, _ = ends("check", "--config", "/dev/null", "--json")
    assert (status, printed["profile"]) == (0, "production")
