"""``opa-authz import``: converts a Docker socket proxy's settings."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from authz_plugin.cli.terminal import json_option, print_line
from authz_plugin.errors import SettingsError, SetupError
from authz_plugin.tools.importer import (
    DIALECTS,
    SELECTABLE,
    Dialect,
    File,
    find_proxy,
    import_proxy,
)
from authz_plugin.tools.importer.report import lines, to_document, to_yaml


@click.command("import")
@click.option("--service", metavar="NAME", help="The proxy's service, where a file has several.")
@click.option(
    "--dialect",
    type=click.Choice(DIALECTS),
    help="Whose proxy it is.  [default: told by image or variables]",
)
@click.option(
    "--with",
    "selected",
    metavar="WORD[,WORD…]",
    multiple=True,
    help=f"Open what the proxy opens unasked: {', '.join(SELECTABLE)}.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the configuration.  [default: standard output]",
)
@click.option("--force", is_flag=True, help="Overwrite the file of --output.")
@json_option
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def import_(
    files: tuple[str, ...],
    *,
    service: str | None,
    dialect: Dialect | None,
    selected: tuple[str, ...],
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    r"""Carry the settings of a Docker socket proxy over.

    FILE is an environment file (KEY=value), or a compose file in which the proxy is a service, or
    - for standard input. Tecnativa's docker-socket-proxy, linuxserver's and wollomatic's
    socket-proxy are known. Of several files, variables of environment files go before those of
    the service.

    The configuration goes to standard output. Standard error says, line by line, what each
    setting became, what is stricter and why, and what has no counterpart here.

    \b
    Exit status: 0 the configuration is made, 1 it cannot be written, 2 wrong
    command line, or files that describe no proxy.

    \b
    Examples:
      opa-authz import compose.yaml
      opa-authz import --with logs --output config.yaml proxy.env
      docker compose config | opa-authz import -
    """
    words = [word for given in selected for word in given.split(",") if word]
    for word in words:
        if word not in SELECTABLE:
            raise SettingsError("--with", "", f"{word} is none of {', '.join(SELECTABLE)}")
    proxy = find_proxy([_file(name) for name in files], os.environ, service, dialect)
    imported = import_proxy(proxy, words)
    names = ["standard input" if name == "-" else Path(name).name for name in files]
    service_ = [f"service {proxy.service}"] if proxy.service else []
    origin = f"{', '.join([*names, *service_])} ({proxy.dialect})"
    text = to_yaml(imported, origin)
    if output is not None:
        _write(output, text, force=force)
    if as_json:
        click.echo(json.dumps(to_document(imported, origin), indent=2))
        return
    print_line(origin, "head", err=True)
    for style, line in lines(imported):
        print_line(line, style, err=True)
    if output is None:
        click.echo(text, nl=False)


def _file(name: str) -> File:
    if name == "-":
        return File("standard input", sys.stdin.read(), Path.cwd())
    path = Path(name)
    try:
        return File(name, path.read_text(errors="replace"), path.parent)
    except OSError as error:
        raise SettingsError(name, "", f"cannot be read: {error.strerror}") from error


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x") as file:
            file.write(text)
    except FileExistsError as error:
        message = f"{output} is there already; --force overwrites it"
        raise SettingsError("--output", "", message) from error
    except OSError as error:
        raise SetupError(f"{output} cannot be written: {error.strerror}") from error
