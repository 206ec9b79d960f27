"""The command line: ``opa-authz``.

Results go to standard output, messages to standard error. The exit status is 0 for success, 1 for a
plugin that cannot do what it was asked to, 2 for a command line or setting that is wrong.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final, NoReturn

import click
from click.exceptions import NoSuchCommand

from authz_plugin import __version__
from authz_plugin.errors import SettingsError, SetupError, defect

_COMMANDS: Final = {
    "serve": "authz_plugin.cli.serve",
    **{
        name: f"authz_plugin.tools.commands.{module}"
        for name, module in (
            ("attack", "attack"),
            ("audit", "audit"),
            ("bundle", "bundle"),
            ("check", "check"),
            ("console", "console"),
            ("deploy", "deploy"),
            ("doctor", "doctor"),
            ("exceptions", "exceptions"),
            ("explain", "explain"),
            ("identity", "identity"),
            ("import", "import_"),
            ("install-opa", "install_opa"),
            ("learn", "learn"),
            ("policy", "policy"),
            ("replay", "replay"),
            ("report", "report"),
            ("schema", "schema"),
            ("validate", "validate"),
        )
    },
}
"""The module of each command. It is imported when its command is used, so that a running plugin
holds no operator's tool."""


class _Commands(click.Group):
    """A group whose commands are imported by name: ``install-opa`` is ``install_opa`` in its
    module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(importlib.import_module(module), module.rpartition(".")[2])
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *inner):
            _mark_paragraphs(one)
            one.short_help = _first_paragraph(one)  # click would cut it to one line
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # click looks for similar names among imported commands
            name = error.command_name
            raise NoSuchCommand(name, possibilities=_COMMANDS, ctx=ctx) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="opa-authz")
@click.pass_context
def cli(context: click.Context) -> None:
    r"""Guard the Docker API: dockerd asks, Open Policy Agent decides.

    \b
    Exit status: 0 success, 1 it could not be done, 2 wrong command line or
    settings, 3 the answer is no; each command's --help says more.

    \b
    Examples:
      opa-authz serve
      opa-authz check --config config.yaml
      opa-authz explain -- docker run --privileged alpine
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


def _mark_paragraphs(command: click.Command) -> None:
    r"""Put click's mark for paragraphs that stay as they are where the help has ``\b``; docstrings
    that hold it are raw."""
    command.help = (command.help or "").replace(r"\b", "\b")


def _first_paragraph(command: click.Command) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split())


_mark_paragraphs(cli)


def main() -> None:
    """Run the command line; errors that a person can mend are one sentence, not a traceback.

    Every signal that ends a program ends it as Ctrl-C does, so that nothing is left behind.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(cli(prog_name="opa-authz", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        _end(error.exit_code, error.format_message())
    except click.Abort:
        click.echo("Aborted!", err=True)
        _end(1, "interrupted")
    except SettingsError as error:
        for fault in error.faults:
            click.echo(f"opa-authz: {fault}", err=True)
        places = [{"where": f.where, "key": f.key, "message": f.message} for f in error.faults]
        _end(2, str(error), places)
    except SetupError as error:
        click.echo(f"opa-authz: {error}", err=True)
        _end(1, str(error))
    except Exception as error:  # noqa: BLE001 - a person can do nothing with a traceback
        text = f"a defect, {defect(error)}: please report it"
        click.echo(f"opa-authz: {text}", err=True)
        _end(1, text)


def _end(status: int, message: str, settings: Sequence[Mapping[str, str]] = ()) -> NoReturn:
    """End the program with a status, and with --json print a document about the error.

    ``settings`` are the places of wrong settings.
    """
    options = takewhile(lambda word: word != "--", sys.argv[1:])
    if "--json" in options:
        error = {"message": message, "settings": settings}
        click.echo(json.dumps({"version": 1, "status": status, "error": error}, indent=2))
    sys.exit(status)
