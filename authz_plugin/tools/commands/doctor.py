"""``opa-authz doctor``: checks the Docker installation of a host."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.cli.terminal import json_option, print_line, working
from authz_plugin.tools.commands.endpoint import client_of, endpoint_of, endpoint_options
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.doctor.examination import examine
from authz_plugin.tools.doctor.finding import SEVERITIES, Finding, Severity
from authz_plugin.tools.doctor.host import Host, inspect_host

_F = TypeVar("_F", bound=Callable[..., Any])

STATUS: Final[dict[Severity, int]] = {"critical": 3, "warning": 4, "info": 0, "ok": 0}
"""The exit status by the severity of the worst finding."""

_MARKS: Final[dict[Severity, tuple[str, str]]] = {
    "critical": ("bad", "✗ critical"),
    "warning": ("warning", "! warning"),
    "info": ("", "i info"),
    "ok": ("good", "✓ ok"),
}


def host_options(command: _F) -> _F:
    """Add the options ``--root``, ``--daemon-json`` and ``--dockerd-pid`` to a command."""
    for option in (
        click.option(
            "--dockerd-pid", metavar="PID", type=int, help="dockerd's process.  [default: found]"
        ),
        click.option(
            "--daemon-json",
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="dockerd's settings file.  [default: the one that dockerd was started with]",
        ),
        click.option(
            "--root",
            metavar="FOLDER",
            default=Path("/"),
            show_default=True,
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Where the host's files are seen, /proc among them.",
        ),
    ):
        command = option(command)
    return command


def host_of(options: dict[str, Any], endpoint: Endpoint) -> Host:
    """Remove the host options from a command's options, and return the host that they name."""
    root, file, pid = (options.pop(name) for name in ("root", "daemon_json", "dockerd_pid"))
    return inspect_host(root, endpoint, file, pid)


@click.command()
@endpoint_options
@policy_options
@host_options
@json_option
def doctor(as_json: bool, **options: Any) -> None:
    r"""Look for what is wrong with this host, and say how to mend it.

    Reads dockerd's version, command line and settings, the sockets and who may use them, the
    plugin's settings and policy, the containers that run; and sends dockerd one harmless request
    that the policy must refuse, as proof that enforcement is on. Changes nothing. Run it as root
    on dockerd's host.

    \b
    Exit status: 0 nothing worse than info, 4 warnings, 3 something critical,
    1 it could not be done, 2 wrong command line.

    \b
    Examples:
      opa-authz doctor
      opa-authz doctor --json | jq '.findings[] | select(.severity == "critical")'
      opa-authz doctor --root /host -H unix:///host/run/docker.sock
    """
    endpoint = endpoint_of(options, "doctor")
    host = host_of(options, endpoint)
    with working("examining the host"):
        examination = examine(host, client_of(endpoint), lambda: load_settings(options))
    if as_json:
        click.echo(json.dumps(examination.to_document(), indent=2))
    else:
        for style, text in _lines(examination.findings):
            print_line(text, style)
    sys.exit(STATUS[examination.findings[0].severity])


def _lines(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    for finding in findings:
        style, mark = _MARKS[finding.severity]
        yield style, f"{mark:<11} {finding.what}  [{finding.id}]"
        if finding.why:
            yield "", f"              why: {finding.why}"
            yield "", f"              fix: {finding.fix}"
    counted = Counter(finding.severity for finding in findings)
    yield "", ""
    yield "head", ", ".join(f"{counted[severity]} {severity}" for severity in SEVERITIES)
