"""``opa-authz bundle``: writes the policy as a bundle file for an OPA of the operator's."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import click

from authz_plugin.cli.options import assembled, policy_options
from authz_plugin.cli.terminal import json_option, print_json


@click.command()
@policy_options
@click.option(
    "--output",
    metavar="FILE",
    default="bundle.tar.gz",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the bundle.",
)
@json_option
def bundle(*, output: Path, as_json: bool, **options: Any) -> None:
    r"""Write policies and configuration as a bundle for an OPA that you run (opa.url).

    \b
    Exit status: 0 written, 1 it cannot be made, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz bundle --config config.yaml --output bundle.tar.gz
    """
    with assembled(options) as (_, made), tarfile.open(output, "w:gz") as archive:
        archive.add(made.folder, arcname="/")
    if as_json:
        print_json(file=str(output), profile=made.profile, policy_revision=made.revision)
        return
    click.echo(f"{output}: profile {made.profile}, policy revision {made.revision}")
