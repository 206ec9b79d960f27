"""``opa-authz validate``: tests a running daemon against its configuration."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.cli.terminal import EXIT_NO, Progress, json_option, print_line
from authz_plugin.tools.authz_message import Client
from authz_plugin.tools.commands.endpoint import client_of, endpoint_of, endpoint_options
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.report import Report, lines
from authz_plugin.tools.validation.runner import Validation

image_option: Final = click.option(
    "--image",
    metavar="REF",
    help="An image that the policy allows, which need not be there.  [default: made up]",
)


@click.command()
@endpoint_options
@policy_options
@image_option
@json_option
@click.option(
    "-v", "--verbose", is_flag=True, help="Print every check, not only those that failed."
)
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the report as JUnit XML too.",
)
def validate(
    *, image: str | None, as_json: bool, verbose: bool, junit: Path | None, **options: Any
) -> None:
    r"""Prove that a running daemon keeps what its configuration promises.

    Sends dockerd a request for every operation of the Docker API and for every boundary that the
    configuration in force draws, and compares what dockerd does with what the configuration says
    it must do. Run it on the daemon's host, with the plugin's own settings.

    It is made for hosts in use. Attempts name images, containers and volumes that nobody has, so
    that dockerd can do nothing even where it should have refused; one container is made of an
    image that is there, never started, and removed again, also on Ctrl-C.

    \b
    Exit status: 0 every check passed, 3 a check failed, 1 validation could
    not be carried out, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz validate
      opa-authz validate --verbose
      opa-authz validate --profile devcontainer --junit report.xml
      opa-authz validate -H tcp://10.0.0.5:2376 --tlscert cert.pem --tlskey key.pem
    """
    endpoint = endpoint_of(options, "validate")
    with open_sandbox(load_settings(options), sends=True) as sandbox:
        report = carry_out(endpoint, client_of(endpoint), sandbox, image)
    if junit is not None:
        junit.write_text(report.to_junit())
    if as_json:
        click.echo(json.dumps(report.to_document(), indent=2))
    else:
        for style, text in lines(report, verbose=verbose):
            print_line(text, style)
    if not report.passed:
        sys.exit(EXIT_NO)


def carry_out(endpoint: Endpoint, client: Client, sandbox: Sandbox, image: str | None) -> Report:
    """Validate a daemon; raises ``EndpointError`` if it does not answer.

    ``client`` is the identity of this program at the daemon, ``image`` the value of ``--image``.
    """
    with Progress("checks") as progress:
        validation = Validation(endpoint, sandbox, client, image=image, progress=progress.show)
        results = validation.run()
    bundle = sandbox.bundle
    return Report(
        endpoint.url, validation.engine, bundle.profile, bundle.revision, results, client.user
    )
