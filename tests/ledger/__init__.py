"""The ledger: every field and parameter that Docker reads, with the rules that judge it.

A row of a field that no rule judges has the reason.

``bodies.tsv`` has a row for every field of every body that Docker 20.10, 28.5 or 29 decodes,
``parameters.tsv`` one for every query parameter, filter, header, path reference and stream that
these engines read. Both are written by hand and compared with Docker's own source by
``tests/test_ledger.py``; ``docs/reference/fields.md`` is made of them. The columns are those of
``Row``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

FOLDER: Final = Path(__file__).parent
BODIES: Final = FOLDER / "bodies.tsv"
PARAMETERS: Final = FOLDER / "parameters.tsv"
OPEN: Final = FOLDER / "open.txt"
"""The rows that may be open, one on each line: operations, place and name."""
STRICT: Final = FOLDER / "strict.yaml"
"""The policy configuration for the evaluation of witnesses."""

Verdict = Literal["judged", "harmless", "unseen", "open"]

VERDICTS: Final[Mapping[Verdict, str]] = {
    "judged": "a rule judges it",
    "harmless": "no rule needs to judge it",
    "unseen": "Docker shows it to no plugin; the operation as a whole is judged",
    "open": "a rule should judge it and none does yet",
}

PLACES: Final = ("path", "query", "filter", "header", "stream")

TYPES: Final[Mapping[str, str]] = {
    "config.create": "config.create",
    "config.update": "config.create",
    "container.checkpoint.create": "checkpoint.create",
    "container.commit": "container.commit",
    "container.copy": "container.copy",
    "container.create": "container.create",
    "container.start": "container.start",
    "container.update": "container.update",
    "exec.create": "exec.create",
    "exec.start": "exec.start",
    "network.connect": "network.connect",
    "network.create": "network.create",
    "network.disconnect": "network.disconnect",
    "node.update": "node.update",
    "plugin.pull": "plugin.privileges",
    "plugin.set": "plugin.settings",
    "plugin.upgrade": "plugin.privileges",
    "secret.create": "secret.create",
    "secret.update": "secret.create",
    "service.create": "service.create",
    "service.update": "service.create",
    "swarm.init": "swarm.init",
    "swarm.join": "swarm.join",
    "swarm.unlock": "swarm.unlock",
    "swarm.update": "swarm.update",
    "volume.create": "volume.create",
    "volume.update": "volume.update",
}
"""The type that each operation's body is decoded into, by its name in ``tests/oracle/go``."""


class LedgerError(Exception):
    """A row is not valid; the message has its file and line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One field, parameter, filter, header, reference or stream of one or more operations.

    ``operations`` are ids, separated by spaces. ``place`` is ``body`` or one of ``PLACES``,
    ``name`` a field's path (``[]`` for each item of a list, ``{}`` for each entry of a map, a last
    ``**`` for everything below) or a parameter's name. ``engines`` are those that read it.
    ``rules`` and ``facts`` are separated by spaces: rule ids, and keys of the input document.

    ``witness`` is a value with which every rule of the row denies under ``strict.yaml``;
    ``context`` adds to the request: ``body`` and ``query`` give it more, ``config`` changes the
    configuration, ``without`` is the value that the rules accept (otherwise: the field is left
    out), ``remove`` names an enclosing field that is left out instead, where a rule judges that as
    a whole. ``why`` says in words why a field is harmless, unseen or open, and moby's file.
    """

    operations: str
    place: str
    name: str
    engines: str
    verdict: Verdict
    rules: str
    facts: str
    witness: str
    context: str
    why: str
    where: str = ""

    @property
    def operation_ids(self) -> list[str]:
        """The ids of the operations."""
        return self.operations.split()

    @property
    def value(self) -> Any:
        """The witness as a JSON value; a parameter's is text."""
        return json.loads(self.witness)

    @property
    def context_object(self) -> dict[str, Any]:
        """The context as a JSON object."""
        found: dict[str, Any] = json.loads(self.context or "{}")
        return found

    def covers(self, path: str) -> bool:
        """Return whether the row is about a field with this path."""
        if not self.name.endswith("**"):
            return path == self.name
        above = self.name.removesuffix("**").removesuffix(".")
        return (
            not above or path == above or path.startswith((f"{above}.", f"{above}[", f"{above}{{"))
        )


COLUMNS: Final = tuple(field.name for field in fields(Row) if field.name != "where")


@cache
def bodies() -> tuple[Row, ...]:
    """Return the rows of ``bodies.tsv``."""
    return tuple(read_rows(BODIES))


@cache
def parameters() -> tuple[Row, ...]:
    """Return the rows of ``parameters.tsv``."""
    return tuple(read_rows(PARAMETERS))


def read_rows(file: Path) -> Iterator[Row]:
    """Read the rows of a file; raises ``LedgerError`` for a row that is not valid."""
    with file.open(newline="") as text:
        reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
        if tuple(next(reader)) != COLUMNS:
            raise LedgerError(f"{file.name}: the columns are not {', '.join(COLUMNS)}")
        for cells in reader:
            where = f"{file.name}:{reader.line_num}"
            if len(cells) != len(COLUMNS):
                raise LedgerError(f"{where}: {len(cells)} columns instead of {len(COLUMNS)}")
            named: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
            row = Row(**named, where=where)
            _check(row)
            yield row


def verdicts(rows: Iterable[Row]) -> dict[tuple[str, str, str], Verdict]:
    """Return the verdict on each field or parameter, by place, operation and name.

    A field with an open row is open, even if other rows of it are not.
    """
    found: dict[tuple[str, str, str], Verdict] = {}
    for row in rows:
        for id_ in row.operation_ids:
            key = (row.place, id_, row.name)
            found[key] = "open" if "open" in {found.get(key), row.verdict} else row.verdict
    return found


def unknown_to_ledger(fields_: Iterable[tuple[str, str]]) -> list[str]:
    """Return the fields, given as type and path, that an operation decodes and that have no row."""
    return [
        f"{operation} {path}"
        for type_, path in fields_
        for operation, decoded in TYPES.items()
        if decoded == type_
        and not any(operation in row.operation_ids and row.covers(path) for row in bodies())
    ]


def _check(row: Row) -> None:
    problem = ""
    if row.verdict not in get_args(Verdict):
        problem = f"{row.verdict} is no verdict"
    elif row.place not in {"body", *PLACES}:
        problem = f"{row.place} is no place"
    elif row.verdict == "judged" and not (row.rules and row.witness):
        problem = "what is judged needs its rules and a witness"
    elif row.verdict != "judged" and not row.why:
        problem = f"{row.verdict} needs its reason"
    elif row.witness and not row.rules:
        problem = "a witness needs the rules that deny it"
    else:
        try:
            json.loads(row.witness or "null")
            if not isinstance(json.loads(row.context or "{}"), dict):
                problem = "the context is no JSON object"
        except ValueError as error:
            problem = f"the witness or the context is no JSON: {error}"
    if problem:
        raise LedgerError(f"{row.where}: {row.name}: {problem}")
