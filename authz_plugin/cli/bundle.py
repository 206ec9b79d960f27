"""``opa-authz bundle``: the policy as a file, for an OPA that the operator runs."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import click

from authz_plugin.cli.options import assembled, policy_options


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
def bundle(output: Path, **options: Any) -> None:
    """Write policies and configuration as a bundle for an OPA that you run (opa.url)."""
    with assembled(options) as (_, made), tarfile.open(output, "w:gz") as archive:
        archive.add(made.folder, arcname="/")
    click.echo(f"{output}: profile {made.profile}, policy revision {made.revision}")
