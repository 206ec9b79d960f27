"""``opa-authz bundle``: writes the policy as a bundle file, signs it and pushes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin import fleet_policy
from authz_plugin.cli.options import assembled, load_settings, policy_options
from authz_plugin.cli.terminal import json_option, print_json
from authz_plugin.tools.bundle_archive import (
    Access,
    Signing,
    push,
    write_fleet_bundle,
    write_policy_bundle,
)

_F = TypeVar("_F", bound=Callable[..., Any])

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def _access_options(command: _F) -> _F:
    """``--token-file``, ``--ca``, ``--certificate``, ``--client-key`` and ``--plain-http``."""
    for option in (
        click.option("--plain-http", is_flag=True, help="Push to a registry without TLS."),
        click.option("--client-key", metavar="FILE", type=_FILE, help="Its key."),
        click.option(
            "--certificate", metavar="FILE", type=_FILE, help="Client certificate for the push."
        ),
        click.option(
            "--ca",
            metavar="FILE",
            type=_FILE,
            help="CA of the service's or registry's certificate.",
        ),
        click.option(
            "--token-file", metavar="FILE", type=_FILE, help="File with the bearer token for a PUT."
        ),
    ):
        command = option(command)
    return command


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
@click.option("--fleet", is_flag=True, help="For plugins that fetch their policy (fleet).")
@click.option(
    "--at-least",
    metavar="VERSION",
    default="0",
    help="With --fleet: the oldest version of the plugin that may serve the policy.",
)
@click.option(
    "--signing-key", metavar="FILE", type=_FILE, help="PEM file with the private key to sign with."
)
@click.option(
    "--algorithm",
    metavar="NAME",
    default="RS256",
    show_default=True,
    help="Algorithm of the signature.",
)
@click.option(
    "--push", "target", metavar="URL", help="https://host/path (PUT) or oci://registry/name:tag."
)
@_access_options
@json_option
def bundle(
    *,
    output: Path,
    fleet: bool,
    at_least: str,
    signing_key: Path | None,
    algorithm: str,
    target: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Write policies and configuration as a bundle: for an OPA that you run (opa.url), or with
    --fleet for plugins on many hosts that fetch it.

    A registry is pushed to with the credentials of `docker login`.

    \b
    Exit status: 0 written and pushed, 1 it cannot be made or pushed, 2 wrong command
    line or settings.

    \b
    Examples:
      opa-authz bundle --config config.yaml --output bundle.tar.gz
      opa-authz bundle --config site.yaml --policies rules --fleet --signing-key key.pem \
        --push oci://registry.example.org/docker-policy:production
    """
    if fleet and signing_key is None:
        raise click.UsageError("--fleet needs --signing-key: plugins take signed bundles only")
    if (options["certificate"] is None) != (options["client_key"] is None):
        raise click.UsageError("--certificate and --client-key belong together")
    access = Access(
        options.pop("token_file"),
        options.pop("ca"),
        options.pop("certificate"),
        options.pop("client_key"),
        plain_http=options.pop("plain_http"),
    )
    signing = None if signing_key is None else Signing(signing_key, algorithm)
    with assembled(options) as (opa, made):
        if fleet:
            assert signing is not None
            policy = fleet_policy.made_of(
                load_settings(options), made.revision, at_least, datetime.now(UTC)
            )
            write_fleet_bundle(policy, output, opa, signing)
        else:
            write_policy_bundle(made.folder, output, opa, signing)
    pushed = None if target is None else push(output, target, access)
    if as_json:
        print_json(
            file=str(output), profile=made.profile, policy_revision=made.revision, pushed=pushed
        )
        return
    click.echo(f"{output}: profile {made.profile}, policy revision {made.revision}")
    if pushed is not None:
        click.echo(f"pushed to {pushed}")
