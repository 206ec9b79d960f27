"""``opa-authz policy``: creates, checks, tests and benchmarks rules of the operator's own."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from authz_plugin.cli.options import assembled, policy_options, warn_on_stderr
from authz_plugin.cli.terminal import EXIT_NO, json_option, print_json
from authz_plugin.engine import binary
from authz_plugin.policy import old_names
from authz_plugin.tools import rule_authoring

_folder = click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path)
)


@click.group()
def policy() -> None:
    """Make, check, test and measure your own rules.

    Rules of your own are Rego files in a folder that the setting `policies` names. Each is a
    package `docker.authz.rules.custom_NAME` that can add denials, and nothing else.
    """


@policy.command()
@click.argument("name")
@click.option(
    "--into",
    metavar="FOLDER",
    default=Path(),
    type=click.Path(file_okay=False, path_type=Path),
    help="Your folder of rules.  [default: this folder]",
)
def new(name: str, into: Path) -> None:
    """Write a first rule, and the test beside it."""
    for file in rule_authoring.new(into, name):
        click.echo(file)


@policy.command()
@_folder
@json_option
def check(*, folder: Path, as_json: bool) -> None:
    """Check a folder of rules as the shipped ones are checked."""
    for text in old_names(folder):
        warn_on_stderr(text)
    found = list(rule_authoring.check(binary.find(), folder))
    if as_json:
        print_json(sound=not found, faults=found)
    else:
        for fault in found or ["sound"]:
            click.echo(fault)
    if found:
        sys.exit(EXIT_NO)


@policy.command()
@_folder
@json_option
def test(*, folder: Path, as_json: bool) -> None:
    """Run the tests in a folder of rules; every line of a rule must be reached."""
    report = rule_authoring.test(binary.find(), folder)
    if as_json:
        print_json(**asdict(report))
    else:
        for name in report.failed:
            click.echo(f"failed: {name}")
        for place in report.uncovered:
            click.echo(f"no test reaches {place}")
        click.echo(f"{report.passed} passed, {len(report.failed)} failed")
    if report.failed or report.uncovered or not report.passed:
        sys.exit(EXIT_NO)


@policy.command()
@policy_options
@json_option
def bench(*, as_json: bool, **options: Any) -> None:
    """Measure what a decision costs OPA, with your profile and rules."""
    with assembled(options) as (opa, bundle):
        costs = rule_authoring.bench(opa.find(), bundle.folder)
    if as_json:
        print_json(microseconds=costs)
        return
    for name, microseconds in costs.items():
        click.echo(f"{name:<36}{microseconds:8.0f} µs")
