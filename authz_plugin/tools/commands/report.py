"""``opa-authz report``: which controls of known standards a host meets, with evidence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.cli.terminal import EXIT_NO, json_option, print_line, working
from authz_plugin.errors import SetupError
from authz_plugin.tools.commands.doctor import host_of, host_options
from authz_plugin.tools.commands.endpoint import client_of, endpoint_of, endpoint_options
from authz_plugin.tools.commands.validate import carry_out, image_option
from authz_plugin.tools.compliance.controls import REPORTED
from authz_plugin.tools.compliance.markdown import to_markdown
from authz_plugin.tools.compliance.report import Compliance, assess
from authz_plugin.tools.compliance.saved import read_examination, read_validation
from authz_plugin.tools.compliance.webpage import to_html
from authz_plugin.tools.doctor.examination import examine
from authz_plugin.tools.sandbox import open_sandbox

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FORMATS: Final[Mapping[str, Callable[[Compliance], str]]] = {
    "markdown": to_markdown,
    "html": to_html,
    "json": lambda report: json.dumps(report.to_document(), indent=2) + "\n",
}


@click.command()
@endpoint_options
@policy_options
@host_options
@image_option
@click.option(
    "--validation",
    metavar="FILE",
    type=_FILE,
    help="What `validate --json` printed.  [default: validate now]",
)
@click.option(
    "--doctor",
    metavar="FILE",
    type=_FILE,
    help="What `doctor --json` printed.  [default: examine now]",
)
@click.option(
    "--standard",
    "standards",
    type=click.Choice(REPORTED),
    multiple=True,
    help="Report on this standard alone; may be given again.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMATS)),
    default="markdown",
    show_default=True,
    help="What to write.",
)
@json_option
@click.option(
    "--output", metavar="FILE", type=_FILE, help="Where to write it.  [default: standard output]"
)
def report(
    *,
    validation: Path | None,
    doctor: Path | None,
    standards: tuple[str, ...],
    form: str,
    as_json: bool,
    output: Path | None,
    image: str | None,
    **options: Any,
) -> None:
    r"""Say which controls of the known standards hold on this host, with evidence.

    For each control of the CIS Docker Benchmark (sections 2 and 5), OWASP's Docker Security Cheat
    Sheet and NIST SP 800-190: the rules, checks of validate and findings of doctor that support it,
    with their last result on this host. A control is met if something was tried and held. What is
    beyond a plugin's reach is said to be outside.

    Runs validate and doctor itself, unless it is given what they printed; results of another policy
    than that of these settings are refused.

    \b
    Exit status: 0 every control is met, but for what is outside a plugin's
    reach, 3 something is not met or was not tried, 1 no report could be
    made, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz report --output compliance.md
      opa-authz report --format html --output compliance.html
      opa-authz report --standard cis --json
      opa-authz report --validation validation.json --doctor doctor.json
    """
    endpoint = endpoint_of(options, "report")
    host = host_of(options, endpoint)
    client = client_of(endpoint)
    with working("examining the host"):
        examined = (
            examine(host, client, lambda: load_settings(options))
            if doctor is None
            else read_examination(doctor)
        )
    with open_sandbox(load_settings(options), sends=True) as sandbox:
        validated = (
            carry_out(endpoint, client, sandbox, image)
            if validation is None
            else read_validation(validation)
        )
        compliance = assess(
            sandbox,
            client,
            (validated, str(validation or "")),
            (examined, str(doctor or "")),
            standards or REPORTED,
        )
    form = "json" if as_json else form
    _write(_FORMATS[form](compliance), output)
    if output is not None:
        for text in _written(compliance, form, output):
            print_line(text, err=True)
    if not compliance.holds:
        sys.exit(EXIT_NO)


def _written(report: Compliance, form: str, output: Path) -> Iterator[str]:
    """Yield what was written, and the number of controls of each standard by status."""
    yield f"{output}: report as {form}"
    for one in report.standards:
        counts = [f"{count} {status}" for status, count in report.counts(one.name).items() if count]
        yield f"  {one.title}: {', '.join(counts)}"


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise SetupError(f"{output} cannot be written: {error.strerror}") from error
