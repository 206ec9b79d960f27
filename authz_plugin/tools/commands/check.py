"""``opa-authz check``: whether the plugin would start with these settings and policies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.cli.terminal import EXIT_NO, json_option, print_json
from authz_plugin.errors import PolicyError
from authz_plugin.policy import Bundle
from authz_plugin.supervisor.engines import check_policy


class _NotSound(click.ClickException):
    """The policy cannot be used: the answer of the command is no."""

    exit_code = EXIT_NO

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"opa-authz: {self.message}", file, err=True)


@click.command()
@policy_options
@json_option
def check(*, as_json: bool, **options: Any) -> None:
    r"""Check settings and policies without starting the plugin.

    Has the policy decide one request, as the plugin does at its start, and says why it would not
    start. A policy with rules that can send requests (http.send) is compiled only. Prints the
    revision of the policy, or every mistake in the settings at once.

    \b
    Exit status: 0 sound, 3 the policy cannot be used, such as own rules that do
    not compile, 1 it could not be checked, such as without an OPA where one is
    needed, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz check
      opa-authz check --config config.yaml --json
      opa-authz check --profile list
    """
    with _sound(options) as bundle:
        if as_json:
            print_json(
                profile=bundle.profile,
                policy_revision=bundle.revision,
                packages=sorted(bundle.packages),
                exceptions_ending=[exemption._asdict() for exemption in bundle.ending],
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


@contextmanager
def _sound(options: Mapping[str, Any]) -> Iterator[Bundle]:
    """The bundle that the options make, while it is used; raises ``_NotSound``."""
    try:
        with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
            yield check_policy(load_settings(options), Path(folder))
    except PolicyError as error:
        raise _NotSound(str(error)) from error
