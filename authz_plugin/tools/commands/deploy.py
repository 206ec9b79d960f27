"""``opa-authz deploy``: writes what an installation needs beside the program."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from authz_plugin.cli.terminal import json_option, print_json
from authz_plugin.tools.deployment_files import deployment_files, write


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
@click.option("--overwrite", is_flag=True, help="Replace files that differ.")
@json_option
def files(folder: Path, program: Path | None, *, overwrite: bool, as_json: bool) -> None:
    r"""Write systemd units, tmpfiles, users, alerts, dashboard and examples into FOLDER.

    Nothing is installed: the output says where each part belongs.

    \b
    Exit status: 0 written, 1 not written, 2 wrong command line.

    \b
    Examples:
      opa-authz deploy files opa-authz-files
      opa-authz deploy files opa-authz-files --program /usr/local/bin/opa-authz
      opa-authz deploy files opa-authz-files --overwrite --json
    """
    started = program or _this_program()
    made = deployment_files(started)
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
    return f"""
Where they belong (the units start {program}):
  {folder}/config.yaml           /etc/opa-authz/config.yaml
  {folder}/systemd/opa-authz*    /etc/systemd/system/, then systemctl daemon-reload
  {folder}/plugin.json           /etc/docker/plugins/opa-authz.json, for TCP with TLS
  {folder}/prometheus/           rule_files and scrape_configs of Prometheus
  {folder}/ansible/              a role and an example, beside your playbooks
  {folder}/grafana/              dashboards to import, of a host and of many
  the rest                       a front of dockerd that refuses native gRPC; the console's user"""
