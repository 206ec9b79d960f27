"""``opa-authz install-opa``: installs the release of OPA that the plugin is tested with."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from authz_plugin.tools.opa_installation import install


@click.command()
@click.option(
    "--into",
    metavar="FOLDER",
    default=Path(sys.executable).parent,
    show_default=True,
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where to put the program.",
)
@click.option(
    "--from",
    "source",
    metavar="FILE|URL",
    help="Take the release from a file, a URL, or a mirror's folder (a URL that ends with /).",
)
def install_opa(into: Path, source: str | None) -> None:
    r"""Install OPA: the pinned release, checked, or built from source with Go.

    The checksum is always that of the official release. With --from, nothing else is tried.

    \b
    Exit status: 0 installed, 1 it cannot be installed, 2 wrong command line.

    \b
    Examples:
      opa-authz install-opa
      opa-authz install-opa --from ./opa_linux_amd64_static
      opa-authz install-opa --from https://mirror.example.com/opa/ --into /usr/local/bin
    """
    opa = install(into, lambda text: click.echo(text, err=True), source)
    click.echo(f"{opa.path}: OPA {opa.version}")
