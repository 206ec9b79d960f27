"""The command line: ``opa-authz``.

Results go to standard output, talk to standard error. The exit status is 0 for success, 1 for a
plugin that cannot do what it was asked to, 2 for a command line or setting that is wrong.
"""

from __future__ import annotations

import os
import signal
import sys

import click

from authz_plugin import __version__
from authz_plugin.cli.attack import attack
from authz_plugin.cli.audit import audit
from authz_plugin.cli.bundle import bundle
from authz_plugin.cli.check import check
from authz_plugin.cli.doctor import doctor
from authz_plugin.cli.exceptions import exceptions
from authz_plugin.cli.explain import explain
from authz_plugin.cli.identity import identity
from authz_plugin.cli.import_ import import_
from authz_plugin.cli.install_opa import install_opa
from authz_plugin.cli.learn import learn
from authz_plugin.cli.policy import policy
from authz_plugin.cli.replay import replay
from authz_plugin.cli.report import report
from authz_plugin.cli.serve import serve
from authz_plugin.cli.validate import validate
from authz_plugin.errors import SettingsError, SetupError, defect


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="opa-authz")
@click.pass_context
def cli(context: click.Context) -> None:
    """Guard the Docker API: dockerd asks, Open Policy Agent decides."""
    if os.environ.get("NO_COLOR"):
        context.color = False


for command in (
    serve,
    audit,
    check,
    bundle,
    identity,
    import_,
    install_opa,
    policy,
    validate,
    attack,
    doctor,
    exceptions,
    explain,
    learn,
    replay,
    report,
):
    command.help = (command.help or "").replace(r"\b", "\b")  # docstrings that hold \b are raw
    cli.add_command(command)


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
