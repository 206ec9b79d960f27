"""The commands of ``opa-authz`` as click has them."""

from __future__ import annotations

import click

from authz_plugin.cli import cli


def command_named(name: str) -> click.Command:
    """Return the command ``opa-authz NAME``; its module is imported for it."""
    found = cli.get_command(click.Context(cli), name)
    assert found is not None, name
    return found
