"""The command line: ``opa-authz``.

Results go to standard output, messages to standard error. The exit status is 0 for success, 1 for a
plugin that cannot do what it was asked to, 2 for a command line or setting that is wrong.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Final

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
        command.help = (command.help or "").replace(r"\b", "\b")  # docstrings that hold \b are raw
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
    """Guard the Docker API: dockerd asks, Open Policy Agent decides."""
    if os.environ.get("NO_COLOR"):
        context.color = False


def main() -> None:
    """Run the command line; errors that a person can mend are one sentence, not a traceback.

    Every signal that ends a program ends it as Ctrl-C does, so that nothing is left behind.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        cli(prog_name="opa-authz")
    except SettingsError as error:
        click.echo(f"opa-authz: {error}", err=True)
        sys.exit(2)
    except SetupError as error:
        click.echo(f"opa-authz: {error}", err=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a person can do nothing with a traceback
        click.echo(f"opa-authz: a defect, {defect(error)}: please report it", err=True)
        sys.exit(1)
