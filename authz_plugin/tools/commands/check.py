"""``opa-authz check``: whether the plugin would start with these settings and policies."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from authz_plugin.cli.options import assembled, policy_options
from authz_plugin.cli.terminal import json_option, print_json


@click.command()
@policy_options
@json_option
def check(*, as_json: bool, **options: Any) -> None:
    r"""Check settings and policies without running anything.

    Prints the revision of the policy, or every mistake in the settings at once.

    \b
    Exit status: 0 sound, 1 the policy does not compile, 2 wrong command line or
    settings.

    \b
    Examples:
      opa-authz check
      opa-authz check --config config.yaml --json
      opa-authz check --profile list
    """
    with assembled(options) as (_, bundle):
        if as_json:
            print_json(
                profile=bundle.profile,
                policy_revision=bundle.revision,
                packages=sorted(bundle.packages),
                exceptions_ending=[asdict(exemption) for exemption in bundle.ending],
                mode_warn=list(bundle.warning),
            )
            return
        for exemption in bundle.ending:
            click.echo(f"warning: exception {exemption}", err=True)
        for whom in bundle.warning:
            click.echo(
                f"warning: mode warn for {whom}: what rules would deny is recorded and allowed; "
                "set mode: enforce to protect this host",
                err=True,
            )
        click.echo(
            f"sound: profile {bundle.profile}, policy revision {bundle.revision}, "
            f"{len(bundle.packages)} rule packages"
        )
