"""``opa-authz import``: converts a Docker socket proxy's settings."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from authz_plugin import settings
from authz_plugin.cli.terminal import EXIT_NO, json_option, print_line
from authz_plugin.configuration import config_schema
from authz_plugin.errors import SettingsError, SetupError
from authz_plugin.settings import Key
from authz_plugin.tools import sandbox
from authz_plugin.tools.importer import (
    DIALECTS,
    SELECTABLE,
    Dialect,
    File,
    Found,
    Imported,
    find_proxies,
    import_proxies,
    opens_nothing,
)
from authz_plugin.tools.importer.clients import Judge, client_notes, preset_of
from authz_plugin.tools.importer.report import lines, to_document, to_yaml


@click.command("import")
@click.option(
    "--service",
    "services",
    metavar="NAME",
    multiple=True,
    help="A proxy's service, once for each.  [default: all whose image is known]",
)
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
    services: tuple[str, ...],
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
    the service. Several proxies become roles of one configuration, as do clients of wollomatic's
    proxy that have rules in their labels.

    The configuration goes to standard output. Standard error says, line by line, what each
    setting became, what is stricter and why, what has no counterpart here, and what known clients
    in the same file are denied.

    \b
    Exit status: 0 the configuration is made, 1 it cannot be written, 2 wrong
    command line, or files that describe no proxy, 3 the configuration is made
    and opens nothing but ping and version.

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
    found = find_proxies([_file(name) for name in files], os.environ, services, dialect)
    imported = _with_clients(import_proxies(found.proxies, words), found)
    names = ["standard input" if name == "-" else Path(name).name for name in files]
    described = [
        f"service {one.service} ({one.dialect})" if one.service else f"({one.dialect})"
        for one in found.proxies
    ]
    origin = ", ".join([*names, *described]).replace(", (", " (")
    text = to_yaml(imported, origin)
    if output is not None:
        _write(output, text, force=force)
    if as_json:
        click.echo(json.dumps(to_document(imported, origin), indent=2))
    else:
        print_line(origin, "head", err=True)
        for style, line in lines(imported):
            print_line(line, style, err=True)
        if output is None:
            click.echo(text, nl=False)
    if opens_nothing(imported):
        sys.exit(EXIT_NO)


def _with_clients(imported: Imported, found: Found) -> Imported:
    """Add a note for each client beside the proxies, on what the configuration denies it."""
    if not any(preset_of(service) for service in found.beside):
        return imported
    with _judge(imported) as judge:
        roles: Sequence[str] = list(imported.configuration.get("roles", {}))
        notes = tuple(client_notes(found, roles, judge))
    return replace(imported, notes=(*imported.notes, *notes))


@contextmanager
def _judge(imported: Imported) -> Iterator[Judge]:
    """Decide by the shipped policy with the imported configuration and settings of nobody else."""
    made: dict[Key, Any] = {(name,): value for name, value in imported.configuration.items()}
    alone = settings.load({("config",): os.devnull, **made}, {}, config_schema())
    with sandbox.open_sandbox(alone) as opened:

        def judge(message: bytes) -> tuple[str, list[str]]:
            judgement = opened.judge(message)
            rules = sorted({denial.rule for denial in judgement.record.denials})
            return judgement.record.operation, [] if judgement.allow else rules

        yield judge


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
