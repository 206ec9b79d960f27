"""``opa-authz bundle``: the policy as a file, for an OPA that the operator runs."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import click

from authz_plugin import policy, supervisor
from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.engine import binary


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
    settings = load_settings(options)
    config = policy.configuration(settings, supervisor.host_paths(settings))
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        opa = binary.find(settings.opa.binary)
        made = policy.assemble(Path(folder), config, settings.policies, opa)
        with tarfile.open(output, "w:gz") as archive:
            archive.add(folder, arcname="/")
    click.echo(f"{output}: profile {made.profile}, policy revision {made.revision}")
