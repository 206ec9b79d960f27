"""The option ``--grant``, which names the dangerous changes that may be proposed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from authz_plugin import policy
from authz_plugin.cli.options import current_rule_option
from authz_plugin.cli.terminal import print_line
from authz_plugin.errors import SettingsError
from authz_plugin.settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])


def grant_option(command: _F) -> _F:
    """Add the option ``--grant`` to a command, as ``named``."""
    return click.option(
        "--grant",
        "named",
        metavar="RULE[=VALUE]",
        multiple=True,
        help="Grant something that is withheld, as the proposal names it.",
    )(command)


def current_grants(named: Iterable[str], settings: Settings) -> list[str]:
    """Return the values of ``--grant`` with the present names of their rules.

    Raises ``SettingsError`` if one names no rule of the policy.
    """
    found = [current_rule_option("--grant", name) for name in named]
    known = policy.rule_ids() | (policy.rule_ids(settings.policies) if settings.policies else set())
    for name in found:
        rule = name.partition("=")[0]
        if rule not in known:
            raise SettingsError(
                "--grant", "", f"{rule} is no rule; docs/reference/rules lists them"
            )
    return found


def warn_of_unmet(unmet: Iterable[str]) -> None:
    """Say on standard error which values of ``--grant`` nothing asked for."""
    for name in unmet:
        print_line(f"nothing asked for {name}", "warning", err=True)
