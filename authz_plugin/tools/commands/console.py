"""``opa-authz console``: a local web page that shows the decisions as they are made."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from authz_plugin.cli.options import load_local_settings, load_settings, policy_options
from authz_plugin.listener import open_address
from authz_plugin.settings import Settings
from authz_plugin.tools.commands.audit_options import audit_file, file_option
from authz_plugin.tools.console.address import Address, read_address
from authz_plugin.tools.console.context import Console
from authz_plugin.tools.console.feed import Feed
from authz_plugin.tools.console.service import serve

_DEFAULT: Final = "127.0.0.1:9718"


def _address(_: click.Context, __: click.Parameter, value: str) -> Address:
    try:
        return read_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@file_option
@policy_options
@click.option(
    "--listen",
    "address",
    metavar="unix:PATH|127.0.0.1:PORT",
    default=_DEFAULT,
    show_default=True,
    callback=_address,
    help="Where to serve it: a unix socket for this user, or a loopback address; port 0 is any "
    "free one.",
)
@click.option("--write", "writable", is_flag=True, help="Let the page add exceptions.")
def console(file: Path | None, address: Address, *, writable: bool, **options: Any) -> None:
    r"""Show the decisions as they are made on a local web page.

    Prints a link that is good once and for ten minutes; SIGUSR1 prints a new one. The page follows
    the audit file, says why a request was denied, and tries requests on the policy of your
    settings, not on a daemon. It changes nothing unless --write is given. The plugin does not
    notice whether it runs.

    Only this host can reach it. From another one, forward its port or socket with ssh -L.

    \b
    Exit status: 0 stopped, 1 it cannot be served or the audit file is not
    there, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz console
      opa-authz console --file /var/log/opa-authz/audit.jsonl --listen 127.0.0.1:0
      opa-authz console --listen unix:/run/user/1000/opa-authz-console.sock
    """

    def load() -> Settings:
        return load_settings(options, warn=_ignore)

    def load_from(other: Path) -> Settings:
        return load_local_settings({**options, "config": str(other)}, warn=_ignore)

    settings = load_local_settings(options)  # a fleet's policy may not be there, or not readable
    audit = audit_file(file, lambda: settings)
    listener = open_address(str(address))
    if listener.family != socket.AF_UNIX:
        address = replace(address, port=listener.getsockname()[1])
    made = Console(audit, Feed(audit), load, writable, load_from)
    serve(listener.detach(), made, address, _tell)


def _tell(link: str) -> None:
    click.echo(f"Open this link; it is good once and for ten minutes:\n  {link}")
    sys.stdout.flush()


def _ignore(text: str) -> None:
    """Take a warning that was printed at the start."""
    del text
