"""Help that tells how to use a command, JSON on every end of one, and completion."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from authz_plugin import policy
from authz_plugin.cli import cli, main
from authz_plugin.cli.terminal import Progress, working


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


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_and_the_exit_statuses(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(cli, [*words, "--help"]).stdout
    assert "Exit status: " in text
    assert "Examples:\n" in text
    assert " ".join(["opa-authz", *words]) in text.partition("Examples:\n")[2]


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


def test_without_json_an_error_is_a_message_alone(ends: Any) -> None:
    status, printed, messages = ends("explain", "nothing", "--", "docker", "--json")
    assert (status, printed) != (0, None)
    assert messages
    assert printed is None


def test_success_and_help_have_status_0(ends: Any) -> None:
    status, printed, _ = ends("check", "--config", "/dev/null", "--json")
    assert (status, printed["profile"]) == (0, "production")
