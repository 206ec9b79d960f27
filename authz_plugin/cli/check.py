"""``opa-authz check``: would the plugin start with these settings and policies?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from authz_plugin import policy, supervisor
from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.engine import binary


@click.command()
@policy_options
def check(**options: Any) -> None:
    """Check settings and policies without running anything."""
    settings = load_settings(options)
    opa = binary.find(settings.opa.binary)
    config = policy.configuration(settings, supervisor.host_paths(settings))
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        made = policy.assemble(Path(folder), config, settings.policies, opa)
    click.echo(
        f"sound: profile {made.profile}, policy revision {made.revision}, "
        f"{len(made.packages)} rule packages"
    )
