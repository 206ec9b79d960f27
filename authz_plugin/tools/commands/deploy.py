"""``opa-authz deploy``: writes what an installation needs beside the program."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import click

from authz_plugin.cli.terminal import json_option, print_json
from authz_plugin.tools.deployment_files import deployment_files, write

_PLACES: Final = {
    "config.yaml": "/etc/opa-authz/config.yaml",
    "systemd/opa-authz.service": "/etc/systemd/system/, then systemctl daemon-reload",
    "systemd/opa-authz-reload.*": "beside it, to have a changed config.yaml loaded",
    "systemd/opa-authz.service.d/": "drop-ins of it: fleet, metrics of other hosts, console",
    "systemd/opa-authz-console.service": "beside it; its user is in sysusers.d/",
    "systemd/docker.service.d/": "a drop-in of dockerd's unit, which closes native gRPC",
    "plugin.json": "/etc/docker/plugins/opa-authz.json, for TCP with TLS",
    "prometheus/": "rule_files and scrape_configs of Prometheus, and the alerts' runbooks",
    "grafana/": "dashboards to import, of a host and of many",
    "ansible/": "a role and an example, beside your playbooks",
    "container/": "a container image, and a compose file for TCP with TLS",
    "store/": "tables, queries and a collector for the decisions of many hosts",
    "haproxy/": "a front of dockerd's socket, with *front* in the folders below",
    "systemd/, sysusers.d/, tmpfiles.d/": "its units and drop-ins, its user and its folder",
}
"""What the files are for, by their path."""


@click.group()
def deploy() -> None:
    r"""Write the files that an installation needs: systemd units, alerts, dashboard, examples.

    \b
    Exit status: that of the command.

    \b
    Examples:
      opa-authz deploy files opa-authz-files
    """


@deploy.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--program",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The opa-authz that the units start.  [default: this one]",
)
@click.option(
    "--runbooks",
    metavar="URL",
    help="Where your people read prometheus/alerts.md; the alerts link to it (runbook_url).",
)
@click.option("--overwrite", is_flag=True, help="Replace files that differ.")
@json_option
def files(
    folder: Path, program: Path | None, runbooks: str | None, *, overwrite: bool, as_json: bool
) -> None:
    r"""Write systemd units, tmpfiles, users, alerts, dashboard and examples into FOLDER.

    Nothing is installed: the output says where each part belongs.

    \b
    Exit status: 0 written, 1 not written, 2 wrong command line.

    \b
    Examples:
      opa-authz deploy files opa-authz-files
      opa-authz deploy files opa-authz-files --program /usr/local/bin/opa-authz
      opa-authz deploy files opa-authz-files --runbooks https://wiki.example.com/docker/alerts
      opa-authz deploy files opa-authz-files --overwrite --json
    """
    started = program or _this_program()
    made = deployment_files(started, runbooks)
    write(folder, made, overwrite=overwrite)
    if as_json:
        print_json(folder=str(folder), program=str(started), files=sorted(made))
        return
    for name in sorted(made):
        click.echo(folder / name)
    click.echo(_where(folder, started), err=True)


def _this_program() -> Path:
    """The ``opa-authz`` beside the running Python, else the one on PATH."""
    beside = Path(sys.executable).absolute().with_name("opa-authz")
    found = shutil.which("opa-authz")
    return beside if beside.is_file() or found is None else Path(found).absolute()


def _where(folder: Path, program: Path) -> str:
    width = max(map(len, _PLACES)) + len(str(folder)) + 1
    rows = [f"  {f'{folder}/{name}':<{width}}  {place}" for name, place in _PLACES.items()]
    return "\n".join(["", f"Where they belong (the units start {program}):", *rows])
