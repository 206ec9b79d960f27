"""``opa-authz learn``: a minimal configuration that allows recorded requests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.cli.terminal import Progress, json_option, print_json
from authz_plugin.errors import SetupError
from authz_plugin.tools.commands.audit_options import (
    AuditSpan,
    audit_file,
    file_option,
    span_options,
)
from authz_plugin.tools.commands.grant_option import (
    current_grants,
    grant_option,
    warn_of_unmet,
)
from authz_plugin.tools.learning.proposal import Proposal, propose
from authz_plugin.tools.learning.report import to_document, to_text
from authz_plugin.tools.sandbox import open_sandbox


@click.command()
@file_option
@span_options
@policy_options
@grant_option
@click.option(
    "--own-tools", is_flag=True, help="Learn from requests of opa-authz's own tools, too."
)
@json_option
def learn(
    file: Path | None,
    since: datetime | None,
    until: datetime | None,
    named: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    r"""Propose the least configuration that would have allowed what happened.

    Reads an audit file with recorded inputs (audit.inputs), best of some days in mode warn, and
    prints a policy configuration that allows what was allowed then and little more: operations one
    by one, capabilities and images by name, mounts by the directories that they have in common,
    for each role its own. Beside each grant stands how often it was asked for. The proposal is
    tried on the real policy before it is shown.

    What leads out of a container (privileged mode, the host's namespaces, devices and system
    paths, the Docker socket, plugins and the like) or removes a requirement of your configuration
    is withheld: it is listed with who asked for it, and granted only if you name it.

    Requests of attack, doctor, report and validate, which their User-Agent names, are counted and
    not learned from. Another client that sends this User-Agent gets less proposed, never more.

    \b
    Exit status: 0 a proposal was made, 1 it could not be made, 2 wrong
    command line or settings.

    \b
    Examples:
      opa-authz learn --since 24h > proposal.yaml
      opa-authz learn --grant capabilities.add=SYS_PTRACE > proposal.yaml
      opa-authz learn --json | jq '.withheld[].grant'
    """
    own_tools = options.pop("own_tools")
    settings = load_settings(options)
    grants = current_grants(named, settings)
    file = audit_file(file, lambda: settings)
    with open_sandbox(settings) as sandbox, Progress("lines read") as progress:
        until = until or datetime.now(UTC)
        span = AuditSpan(file, since, until, progress.show)
        proposal = propose(sandbox, span.decisions, grants, own_tools=own_tools)
    _check(proposal, file)
    if as_json:
        print_json(**to_document(proposal))
    else:
        click.echo(to_text(proposal), nl=False)
    warn_of_unmet(proposal.unmet)


def _check(proposal: Proposal, file: Path) -> None:
    """Raise ``SetupError`` if there are no decisions with inputs to learn from."""
    survey = proposal.survey
    if not survey.decisions:
        raise SetupError(f"{file} has no decision of that time")
    if not survey.happened and survey.own_tools:
        raise SetupError(
            f"{file} has no decision of that time to learn from but those of opa-authz's own tools "
            f"({', '.join(survey.own_tools)}); --own-tools learns from them"
        )
    if not survey.happened:
        raise SetupError(
            f"{file} has {survey.decisions} decisions of that time, and of none that allowed what "
            "it was made of: set audit.inputs to true and mode to warn, and learn after a day"
        )
