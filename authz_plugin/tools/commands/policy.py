"""``opa-authz policy``: starts, checks, tests and benchmarks rules of the operator's own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from authz_plugin.cli.options import assembled, policy_options, warn_on_stderr
from authz_plugin.cli.terminal import EXIT_NO, json_option, print_json
from authz_plugin.engine import binary
from authz_plugin.errors import PolicyError, SettingsError, SetupError
from authz_plugin.policy import old_names
from authz_plugin.tools import rule_authoring, rule_library, rule_project, rule_tests
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation import capture
from authz_plugin.tools.explanation.subjects import read_subject
from authz_plugin.tools.input_documents import document_of
from authz_plugin.tools.rule_tests import TestReport

_folder = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group()
def policy() -> None:
    r"""Make, check, test and measure your own rules.

    Rules of your own are Rego files in a folder that the setting `policies` names. Each is a
    package `docker.authz.rules.custom_NAME` that can add denials, and nothing else.

    \b
    Exit status: that of the command.

    \b
    Examples:
      opa-authz policy new registry --into rules
      opa-authz policy check rules
      opa-authz policy test rules
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
    r"""Write a first rule, and the test beside it.

    \b
    Exit status: 0 written, 1 the name is not valid or is taken, 2 wrong command line.

    \b
    Examples:
      opa-authz policy new registry --into rules
    """
    for file in rule_project.new(into, name):
        click.echo(file)


@policy.command()
@click.argument("folder", default=Path(), type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    r"""Start a repository of rules: write the library and Regal's configuration.

    FOLDER is the repository, by default this folder. The library goes into FOLDER/library, and is
    written anew each time; a configuration of Regal that is there is kept.

    \b
    Exit status: 0 written, 1 not written, 2 wrong command line.

    \b
    Examples:
      opa-authz policy init && opa-authz policy new registry --into rules
    """
    for path, done in rule_project.init(folder):
        click.echo(f"{path}: {done}")


@policy.command()
@click.argument("folder", type=click.Path(path_type=Path))
def library(folder: Path) -> None:
    r"""Write the library of policies, data and schemas that `opa` needs beside your rules.

    It is for `opa test`, `opa check` and editors; the commands of this group need none. What an
    earlier call has written into FOLDER is replaced. FOLDER must not be in your folder of rules.

    \b
    Exit status: 0 written, 1 not written, 2 wrong command line.

    \b
    Examples:
      opa-authz policy library library
      opa test library/policies rules
      opa check --strict --schema library/schemas library/policies rules
    """
    rule_library.write(folder)
    click.echo(f"{folder}: written")


@policy.command()
@_folder
@json_option
def check(*, folder: Path, as_json: bool) -> None:
    r"""Check a folder of rules as the shipped ones are checked.

    \b
    Exit status: 0 sound, 3 not sound, 1 OPA cannot be run, 2 wrong command line.

    \b
    Examples:
      opa-authz policy check rules
    """
    for text in old_names(folder):
        warn_on_stderr(text)
    found = rule_authoring.check(binary.find(), folder)
    if as_json:
        print_json(sound=not found, faults=found)
    else:
        for fault in found or ["sound"]:
            click.echo(fault)
    if found:
        sys.exit(EXIT_NO)


@policy.command()
@_folder
@click.option(
    "--run",
    "pattern",
    metavar="REGEX",
    default="",
    help="Run only tests whose name (PACKAGE.TEST) matches, without coverage, as `opa test --run`.",
)
@json_option
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the report as JUnit XML too.",
)
def test(*, folder: Path, pattern: str, as_json: bool, junit: Path | None) -> None:
    r"""Run the tests in a folder of rules; every line of a rule must be reached.

    For each test that fails, the expression that does not hold is printed, with what was expected
    and what the rule gave. Tests send no requests: http.send fails, unless a test replaces it.

    \b
    Exit status: 0 every test passed, 3 a test failed, there is none, a line is not
    reached, or the rules do not compile, 1 OPA cannot be run, 2 wrong command line.

    \b
    Examples:
      opa-authz policy test rules
      opa-authz policy test rules --run custom_registry
      opa-authz policy test rules --junit report.xml
    """
    try:
        report = rule_tests.test(binary.find(), folder, pattern)
    except PolicyError as error:
        report = TestReport((), None, tuple(rule_authoring.faults_of(error)))
    if junit is not None:
        junit.write_text(report.to_junit())
    if as_json:
        print_json(**report.to_document())
    else:
        _tell(report)
    if not report.is_good:
        sys.exit(EXIT_NO)


def _tell(report: TestReport) -> None:
    if report.faults:
        click.echo("\n".join(report.faults))
        return
    for case in report.failed:
        click.echo(f"failed: {case}")
        for line in case.failure.lines() if case.failure else ():
            click.echo(f"  {line}")
    for name in report.sending:
        click.echo(
            f"note: a rule calls {name}, which fails here, because tests send no requests: test "
            f"the rule `with {name} as` a function"
        )
    for place in report.uncovered or ():
        click.echo(f"no test reaches {place}")
    if not report.cases:
        click.echo("no test was found")
        return
    click.echo(f"{report.passed} passed, {len(report.failed)} failed")


@policy.command("input")
@click.option("--user", metavar="NAME", default="", help="The TLS user who asks.")
@click.option(
    "--operation", metavar="ID", help="Only requests of this operation, such as image.pull."
)
@click.argument("subject", nargs=-1, required=True, type=click.UNPROCESSED)
def input_(*, subject: Sequence[str], user: str, operation: str | None) -> None:
    r"""Print the input document of a request, for a test or for `opa eval --input`.

    SUBJECT is one of:

    \b
      FILE or -    a request: dockerd's message to a plugin as JSON, or raw HTTP
      -- COMMAND   a Docker command line; docker is run with a stub daemon
                   that keeps its requests, no real daemon receives them

    A command line can send several requests; each document is printed. The documents are those of a
    host on which every path exists and none is a symbolic link.

    \b
    Exit status: 0 printed, 1 there is no such request, 2 wrong command line.

    \b
    Examples:
      opa-authz policy input --operation image.pull -- docker pull alpine > input.json
      opa eval -d library/policies -d rules -i input.json data.docker.authz.decision.denials
    """
    messages = [
        authz_message(given, Client(user)) if isinstance(given, Request) else given
        for given in _requests(subject)
    ]
    documents = [document_of(message) for message in messages]
    found = [one for one in documents if operation in {None, one["operation"]["id"]}]
    if not found:
        sent = ", ".join(dict.fromkeys(one["operation"]["id"] for one in documents))
        raise SetupError(f"there is no request of {operation}, only of {sent}")
    for document in found:
        click.echo(json.dumps(document, indent=1))


def _requests(words: Sequence[str]) -> list[Request | bytes]:
    if len(words) > 1 or Path(words[0]).name in capture.PROGRAMS:
        return [*capture.capture(words, os.environ).requests]
    try:
        data = sys.stdin.buffer.read() if words[0] == "-" else Path(words[0]).read_bytes()
    except OSError as error:
        raise SettingsError(words[0], "", f"cannot be read: {error.strerror}") from None
    given = read_subject(data)
    if isinstance(given, Mapping):
        raise SettingsError(words[0], "", "is the record of a decision, not a request")
    return [given]


@policy.command()
@policy_options
@json_option
def bench(*, as_json: bool, **options: Any) -> None:
    r"""Measure what a decision costs OPA, with your profile and rules.

    \b
    Exit status: 0 measured, 1 not measured, 2 wrong command line or setting.

    \b
    Examples:
      opa-authz policy bench --policies rules
    """
    with assembled(options) as (opa, bundle):
        costs = rule_authoring.bench(opa.find(), bundle.folder)
    if as_json:
        print_json(microseconds=costs)
        return
    for name, microseconds in costs.items():
        click.echo(f"{name:<36}{microseconds:8.0f} µs")
