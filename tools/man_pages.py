"""The manual pages, one for each command, from what click knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click

from authz_plugin import __version__
from authz_plugin.cli import cli


def pages() -> dict[str, str]:
    """The text of each page in troff, by its file's name (``opa-authz-check.1``)."""
    return {
        f"{context.command_path.replace(' ', '-')}.1": _page(context)
        for context in _contexts(_context(cli, "opa-authz", None))
    }


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    for name, command in _subcommands(context):
        yield from _contexts(_context(command, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, parent, name, **command.context_settings)


def _subcommands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield name, command


def _page(context: click.Context) -> str:
    name = context.command_path.replace(" ", "-")
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [
        f'.TH "{_text(name.upper())}" 1 "" "opa-authz {__version__}"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(command.get_short_help_str(1000))}",
        ".SH SYNOPSIS",
        _text(usage),
        ".SH DESCRIPTION",
        *_description(command.help or ""),
        ".SH OPTIONS",
    ]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:  # arguments are described in the text
            lines += [".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1])]
    below = list(_subcommands(context))
    if below:
        lines.append(".SH COMMANDS")
    for subname, subcommand in below:
        short = subcommand.get_short_help_str(1000)
        lines += [".TP", f"\\fB{_text(f'{name}-{subname}')}\\fR(1)", _text(short)]
    return "\n".join(lines) + "\n"


def _description(help_: str) -> Iterator[str]:
    """The paragraphs; one that begins with click's mark (a backspace) keeps its lines."""
    for number, paragraph in enumerate(cleandoc(help_).split("\n\n")):
        lines = [line.strip("\b") for line in paragraph.splitlines()]
        shown = [_text(line) for line in lines if line.strip()]
        if number:
            yield ".PP"
        yield from [".nf", *shown, ".fi"] if paragraph.startswith("\b") else shown


def _text(text: str) -> str:
    """Text in which troff finds no request and no escape."""
    escaped = " ".join(text.splitlines()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
