"""docs/reference/fields.md: the ledger, by operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from authz_plugin.dockerd.routes import OPERATIONS
from tests import ledger
from tests.generate.rules import FOLDER, rule_link
from tests.ledger import VERDICTS, Row, Verdict

_HEAD: Final = f"""\
# Fields

Every part of a request that Docker reads, and the [rule]({FOLDER}/README.md) that judges it: every
field of every JSON body that Docker 20.10, 28.5 or 29 decodes, and every query parameter, filter,
header, path reference and stream that these engines read. The list is complete: a test reads
Docker's own Go types and routers and fails for each field that is missing here. Another test has
each rule deny an example and checks that the rule reads the field.

[The input document](input.md) describes what the rules read. `[]` stands for each item of a list,
`{{}}` for each entry of a map, `**` for everything below. *Read by* names the engines that read the
field if not all of them do. In addition, {rule_link("sections.operation")} judges
every operation as a whole.
"""

_MADE: Final = (
    "This page is made from `tests/ledger/bodies.tsv` and `tests/ledger/parameters.tsv`.\n"
)
_ALL: Final = "20.10 28.5 29"
_TITLES: Final = {
    "body": "fields of bodies",
    "path": "references in paths",
    "query": "query parameters",
    "filter": "filters of lists",
    "header": "headers",
    "stream": "streams",
}


def fields_page() -> str:
    """The page: counts, then one part for each operation or group of operations."""
    rows = [*ledger.bodies(), *ledger.parameters()]
    lines = [_HEAD, _MADE, *_counts(rows)]
    for operations in sorted({row.operations for row in rows}, key=_place):
        lines += ["", f"## {', '.join(operations.split())}", ""]
        lines += ["| Field | Judged by, or why not | Read by |", "|---|---|---|"]
        lines += _table([row for row in rows if row.operations == operations])
    return "\n".join(lines) + "\n"


def _counts(rows: Iterable[Row]) -> list[str]:
    """Of fields and the like by verdict, each counted once for each operation that reads it."""
    found = ledger.verdicts(rows)
    places = Counter((_TITLES[place], verdict) for (place, _, _), verdict in found.items())
    bodies = Counter(
        (f"`{id_}`", verdict) for (place, id_, _), verdict in found.items() if place == "body"
    )
    lines = [*_numbers("", list(_TITLES.values()), places), ""]
    lines += [f"- *{verdict}*: {meaning}." for verdict, meaning in VERDICTS.items()]
    lines += ["", "The fields of bodies by operation:", ""]
    return lines + _numbers("body of", [f"`{id_}`" for id_ in ledger.TYPES], bodies)


def _numbers(
    title: str, names: Sequence[str], counts: Mapping[tuple[str, Verdict], int]
) -> list[str]:
    lines = [f"| {title} | {' | '.join(VERDICTS)} | all |", "|---" * (len(VERDICTS) + 2) + "|"]
    for name in names:
        numbers = [counts.get((name, verdict), 0) for verdict in VERDICTS]
        lines.append(f"| {name} | {' | '.join(map(str, numbers))} | {sum(numbers)} |")
    sums = [sum(counts.get((name, verdict), 0) for name in names) for verdict in VERDICTS]
    return [*lines, f"| all | {' | '.join(map(str, sums))} | {sum(sums)} |"]


def _table(rows: list[Row]) -> list[str]:
    """A row for each field; those without a rule that have one reason share a row."""
    names: dict[tuple[str, str], list[str]] = {}
    said: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        key = (row.place, row.name, _readers(row))
        if row.verdict != "judged":
            said.setdefault(key, []).append(f"*{row.verdict}*: {row.why}")
        else:
            said.setdefault(key, []).extend(map(rule_link, row.rules.split()))
            if row.why:
                said[key].append(row.why)
    for (place, name, readers), words in said.items():
        shown = f"`{name}`" if place == "body" else f"{place} `{name}`"
        names.setdefault((", ".join(dict.fromkeys(words)), readers), []).append(shown)
    return [f"| {', '.join(n)} | {words} | {readers} |" for (words, readers), n in names.items()]


def _readers(row: Row) -> str:
    return "" if row.engines == _ALL else row.engines.replace(" ", ", ")


def _place(operations: str) -> tuple[int, str]:
    """Operations in the order of the routes, a group at its first."""
    return list(OPERATIONS).index(operations.split(maxsplit=1)[0]), operations
