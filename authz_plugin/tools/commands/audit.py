"""``opa-authz audit``: reads the audit file and verifies its hash chain."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin.cli.options import current_rule_option, load_settings
from authz_plugin.cli.terminal import EXIT_NO, json_option, print_json
from authz_plugin.errors import SetupError
from authz_plugin.journal import chain, log
from authz_plugin.journal.chain import Position
from authz_plugin.renamed import current_record
from authz_plugin.tools.commands.audit_options import audit_file, file_option, span_options

_F = TypeVar("_F", bound=Callable[..., Any])
_Test = Callable[[Mapping[str, Any]], bool]

_DECISIONS: Final = frozenset({"allowed_operation", "blocked_operation"})
_OUTCOME: Final = "finished_operation"


def _position(value: str) -> Position:
    """Parse a position in the audit file, ``NUMBER:HASH``; raises ``click.BadParameter``."""
    number, _, digest = value.partition(":")
    if not number.isdecimal() or not re.fullmatch("[0-9a-f]{64}", digest):
        raise click.BadParameter(
            f"{value} is not NUMBER:HASH, as an audit_checkpoint of the log has them"
        )
    return Position(int(number), digest)


def _file_options(command: _F) -> _F:
    config = click.option(
        "--config", metavar="FILE", help="Settings file that names the audit file."
    )
    return config(file_option(command))


@click.group()
def audit() -> None:
    r"""Read the audit file, and prove that it is whole.

    \b
    Exit status: that of the command; see its --help.

    \b
    Examples:
      opa-authz audit show --verdict deny
      opa-authz audit verify
    """


@audit.command()
@_file_options
@click.option(
    "--expect",
    type=_position,
    metavar="NUMBER:HASH",
    help="A line that must be there, from an audit_checkpoint in the log.",
)
@json_option
def verify(
    *, file: Path | None, config: str | None, expect: Position | None, as_json: bool
) -> None:
    r"""Find lines that are missing or not as they were written.

    The files that were put aside are checked with the file that is written. Only --expect can show
    that the end was cut off.

    \b
    Exit status: 0 the file is whole, 3 it is not, 1 it cannot be read, 2 wrong
    command line or settings.

    \b
    Examples:
      opa-authz audit verify
      opa-authz audit verify --file /var/log/opa-authz/audit.jsonl --json
    """
    file = _file(file, config)
    try:
        end, findings = chain.verify(file, expect)
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from error
    faults = sum(finding.is_fault for finding in findings)
    if as_json:
        print_json(
            faults=faults, end=end._asdict(), findings=[finding._asdict() for finding in findings]
        )
    else:
        for finding in findings:
            kind = "fault" if finding.is_fault else "note"
            click.echo(f"{kind}: {finding.place}: {finding.message}")
        click.echo(f"{faults} faults; the last sound line is {end.seq}:{end.hash}")
    if faults:
        sys.exit(EXIT_NO)


@audit.command()
@_file_options
@span_options
@click.option("--user", metavar="NAME", help="Caller by name or certificate; * matches any text.")
@click.option("--operation", metavar="ID", help="Operation, like container.create or container.*.")
@click.option("--rule", metavar="ID", help="A rule that denied or warned, like mounts.*.")
@click.option(
    "--verdict", type=click.Choice(["allow", "deny"]), help="Decisions with this verdict alone."
)
@click.option("--decision", metavar="ID", help="The id from a denial's message.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, decision and outcome in one.")
def show(file: Path | None, config: str | None, *, as_json: bool, **filters: Any) -> None:
    r"""Show decisions with their outcomes.

    \b
    Exit status: 0 shown, 1 the file cannot be read, 2 wrong command line or
    settings.

    \b
    Examples:
      opa-authz audit show --verdict deny --since 24h
      opa-authz audit show --rule 'mounts.*' --json
    """
    file = _file(file, config)
    if filters["rule"] is not None:
        filters["rule"] = current_rule_option("--rule", filters["rule"])
    tests = list(_tests(filters))
    try:
        decisions = _decisions(chain.read_links(file), tests)
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from error
    for document in decisions:
        if as_json:
            click.echo(log.as_json(document), nl=False)
            continue
        click.echo(f"{document['timestamp'][:10]} ".encode() + log.as_text(document), nl=False)
        if document["outcome"] is not None:
            outcome = {**document["outcome"], "decision_id": document["decision_id"]}
            click.echo(b" " * 11 + log.as_text(outcome), nl=False)


def _file(file: Path | None, config: str | None) -> Path:
    return audit_file(file, lambda: load_settings({"config": config}))


def _tests(filters: Mapping[str, Any]) -> Iterator[_Test]:
    """Yield a predicate on decision records for each option that is given."""
    since, until = filters["since"], filters["until"]
    user, operation, rule = filters["user"], filters["operation"], filters["rule"]
    verdict, decision = filters["verdict"], filters["decision"]
    if since is not None:
        yield lambda d: datetime.fromisoformat(d["timestamp"]) >= since
    if until is not None:
        yield lambda d: datetime.fromisoformat(d["timestamp"]) < until
    if user is not None:
        yield lambda d: any(fnmatchcase(d[name], user) for name in ("user", "certificate"))
    if operation is not None:
        yield lambda d: fnmatchcase(d["operation"], operation)
    if rule is not None:
        yield lambda d: any(
            fnmatchcase(named.partition(" ")[0], rule) for named in d["rules"] + d["warnings"]
        )
    if verdict is not None:
        yield lambda d: d["verdict"] == verdict
    if decision is not None:
        yield lambda d: d["decision_id"] == decision


def _decisions(links: Iterable[chain.Link], tests: list[_Test]) -> list[dict[str, Any]]:
    """Return the decisions that pass all tests; ``outcome`` is None if it is not recorded."""
    found: dict[str, dict[str, Any]] = {}
    for link in links:
        document = current_record(link.document)
        event = document.get("event")
        if event in _DECISIONS and all(test(document) for test in tests):
            found[document["decision_id"]] = {**document, "outcome": None}
        elif event == _OUTCOME and document["decision_id"] in found:
            found[document["decision_id"]]["outcome"] = {
                key: document[key]
                for key in ("timestamp", "event", "operation", "status", "created", "identical")
            }
    return list(found.values())
