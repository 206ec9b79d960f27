"""``opa-authz attack``: send known attacks to a Docker API and report which of them succeed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click

from authz_plugin.cli.options import current_name_option, load_settings, policy_options
from authz_plugin.cli.terminal import EXIT_NO, Progress, json_option, print_json, print_line
from authz_plugin.errors import SetupError
from authz_plugin.interrupts import recorded
from authz_plugin.renamed import current_attack
from authz_plugin.tools.attack.campaign import Campaign
from authz_plugin.tools.attack.catalogue import CATALOGUE, FAMILIES, select
from authz_plugin.tools.attack.configured import Configured
from authz_plugin.tools.attack.in_force import open_in_force
from authz_plugin.tools.attack.model import CatalogueAttack
from authz_plugin.tools.attack.report import Report, lines, remaining_lines
from authz_plugin.tools.commands.endpoint import client_of, endpoint_of, endpoint_options
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.sandbox import open_sandbox

UNPROVEN: Final = 1
"""The exit status if no attack succeeded, but the report is not proven (see ``Report.proven``)."""


@click.command()
@endpoint_options
@policy_options
@click.option(
    "--only",
    metavar="FAMILY|ID",
    multiple=True,
    help="Try these alone; may be repeated.  [default: the whole catalogue]",
)
@click.option(
    "--except",
    "without",
    metavar="FAMILY|ID",
    multiple=True,
    help="Leave these out, which you allow on purpose; may be repeated.",
)
@click.option("--list", "as_list", is_flag=True, help="Print the catalogue and touch nothing.")
@click.option(
    "--image",
    metavar="REF",
    help="An image to make containers of.  [default: made, or one of the host's]",
)
@click.option(
    "--folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    help="A folder of dockerd's host that may be mounted, to plant a link in.  [default: /tmp]",
)
@json_option
@click.option("-v", "--verbose", is_flag=True, help="List every attack, blocked ones too.")
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the report as JUnit XML too.",
)
def attack(
    *,
    only: Sequence[str],
    without: Sequence[str],
    as_list: bool,
    image: str | None,
    folder: Path | None,
    as_json: bool,
    verbose: bool,
    junit: Path | None,
    **options: Any,
) -> None:
    r"""Attack a Docker API, and see what gets through.

    Tries the ten escape scenarios of the socket proxy's validation guide, then every known way
    round such guards, and tells by what dockerd does which of them work: on a daemon guarded by
    this plugin, by another one, by a socket proxy or by nothing. It needs no settings.

    It tells apart what the configuration in force opens, and by which key, from what got through
    although the configuration denies it. That is the configuration of the options, or else of the
    settings here if the plugin's metrics show that the daemon's plugin decides with it.

    It is made for hosts in use. Containers are created and never started; what is made has a name
    that begins with opa-authz-attack-, is looked at and removed again, also on Ctrl-C. Nothing is
    pulled, pushed or installed.

    \b
    Exit status: 0 every attack was blocked, or the engine does not fall for it,
    or the configuration in force opens it, 3 an attack succeeded, 1 it could not
    be carried out or not be proven, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz attack
      opa-authz attack --list
      opa-authz attack --config /etc/opa-authz/config.yaml
      opa-authz attack -H tcp://docker-proxy:2375 --only scenario --only read
      opa-authz attack --except scenario.exec --folder /workspace --junit report.xml
    """
    attacks = _chosen(
        [current_name_option("--only", name, current_attack) for name in only],
        [current_name_option("--except", name, current_attack) for name in without],
    )
    if as_list:
        _show_catalogue(attacks, as_json=as_json)
        return
    endpoint = endpoint_of(options, "attack")
    # An interrupt is obeyed between two attacks, so that every object requested can be removed.
    with (
        _configured(endpoint, options) as (configured, uncompared),
        Progress("attacks") as progress,
        recorded(_tell_interrupted) as interrupted,
    ):

        def step(done: int, total: int) -> None:
            if interrupted:
                raise KeyboardInterrupt
            progress.show(done, total)

        campaign = Campaign(
            endpoint, attacks, image=image, folder=folder, configured=configured, progress=step
        )
        try:
            results = campaign.run()
        except KeyboardInterrupt:
            for text in remaining_lines(campaign.created_objects):
                click.echo(text, err=True)
            raise
        description = configured.description if configured else ""
    report = Report(
        endpoint.url,
        campaign.preparation,
        results,
        campaign.created_objects,
        description,
        uncompared,
    )
    if junit is not None:
        junit.write_text(report.to_junit())
    _tell(report, as_json=as_json, verbose=verbose)
    if report.succeeded:
        sys.exit(EXIT_NO)
    if not report.proven:
        sys.exit(UNPROVEN)


@contextmanager
def _configured(
    endpoint: Endpoint, options: Mapping[str, Any]
) -> Iterator[tuple[Configured | None, str]]:
    """The configuration that the options name or else the plugin has in force, and "".

    If that cannot be known, it is None, with the reason.
    """
    with ExitStack() as stack:
        if any(options.values()):
            sandbox = stack.enter_context(open_sandbox(load_settings(options), sends=True))
        else:
            try:
                settings = load_settings(options, warn=lambda _: None)
                sandbox = stack.enter_context(open_in_force(endpoint, settings))
            except SetupError as error:
                yield None, str(error)
                return
        yield Configured(sandbox, client_of(endpoint)), ""


def _tell(report: Report, *, as_json: bool, verbose: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.to_document(), indent=2))
        return
    for style, text in lines(report, verbose=verbose):
        print_line(text, style)


def _tell_interrupted() -> None:
    click.echo("interrupted: removing what was made", err=True)


def _chosen(only: Sequence[str], without: Sequence[str]) -> list[CatalogueAttack]:
    try:
        left_out = {attack.id for attack in select(without)}
        attacks = select(only) if only else CATALOGUE
    except KeyError as error:
        families = ", ".join(family.id for family in FAMILIES)
        raise click.BadParameter(
            f"{error.args[0]} is neither a family ({families}) nor an id; see --list"
        ) from None
    return [attack for attack in attacks if attack.id not in left_out]


def _show_catalogue(attacks: Sequence[CatalogueAttack], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"id": a.id, "family": a.family.id, "what": a.title, "command": a.command,
             "request": f"{a.request.method} {a.request.target}", "means": a.impact}
            for a in attacks
        ]  # fmt: skip
        print_json(attacks=rows)
        return
    for family in FAMILIES:
        rows_ = [attack for attack in attacks if attack.family == family]
        if rows_:
            print_line(f"{family.title} ({len(rows_)})", "head")
        for row in rows_:
            print_line(f"  {row.id:<28} {row.title}{f'  ({row.command})' if row.command else ''}")
