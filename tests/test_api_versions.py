"""``docs/reference/api-versions.md`` says of each field what the ledger says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from authz_plugin.dockerd import routes
from authz_plugin.own_rules import OWN_RULES
from tests import ledger
from tests.generate.rules import rules
from tests.ledger import VERDICTS, walk
from tests.oracle import is_available

PAGE: Final = Path(__file__).parents[1] / "docs/reference/api-versions.md"
TEXT: Final = PAGE.read_text()
FIRST: Final = 44
ROWS: Final = (*ledger.bodies(), *ledger.parameters())

_CODE: Final = re.compile(r"`([^`]+)`")
_RULE: Final = re.compile(r"\[`([a-z-]+\.[a-z-]+)`\]\(rules/")
_VERDICT: Final = re.compile(r"\*([a-z]+)\*")


class New(NamedTuple):
    """What a row of the page says is new, and how it is judged."""

    version: str
    operation: str
    place: str
    name: str


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SECTIONS: Final = _sections()
VERSIONS: Final = [title.removeprefix("API ") for title in SECTIONS if title.startswith("API ")]


def _tables() -> Iterator[tuple[list[New], set[str]]]:
    """The rows of the tables: what is new in them, and the rules and verdicts that they name."""
    for version in VERSIONS:
        for line in SECTIONS[f"API {version}"].splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not line.startswith("| `"):
                continue
            operations, names, judged, _ = cells
            new = [
                New(version, operation, *_place(name))
                for operation in _CODE.findall(operations)
                for name in names.split(", ")
            ]
            yield new, {*_RULE.findall(judged), *_VERDICT.findall(judged)}


def _place(cell: str) -> tuple[str, str]:
    place, code, name = cell.rpartition(" `") if not cell.startswith("`") else ("body", "", cell)
    assert place in {"body", "route", *ledger.PLACES}, cell
    return place, f"{code[1:]}{name}".strip("`")


TABLES: Final = list(_tables())


def test_each_version_up_to_the_newest_engines_has_a_section() -> None:
    assert is_available(), "Go walks Docker's source: put go into PATH"
    config = (walk.source(walk.NEWEST) / "daemon/config/config.go").read_text()
    newest = re.search(r'MaxAPIVersion = "1\.(\d+)"', config)
    assert newest is not None
    assert [f"1.{minor}" for minor in range(FIRST, int(newest[1]) + 1)] == VERSIONS


@pytest.mark.parametrize(
    ("new", "judged"),
    TABLES,
    ids=[f"{new[0].version} {i}" for i, (new, _) in enumerate(TABLES)],
)
def test_a_row_names_the_rules_and_verdicts_of_the_ledger(new: list[New], judged: set[str]) -> None:
    expected: set[str] = set()
    for one in new:
        if one.place == "route":
            method, path = one.name.split(" ")
            expected.add("sections.operation")
            known = [
                operation.id for own, at, operation in routes.ROUTES if (own, at) == (method, path)
            ]
            assert one.operation in known, f"{one.name} is no route of {one.operation}"
            continue
        rows = [
            row
            for row in ROWS
            if one.operation in row.operation_ids
            and row.place == one.place
            and row.name == one.name
        ]
        assert rows, f"no row of the ledger is about {one}"
        for row in rows:
            expected |= set(row.rules.split()) if row.verdict == "judged" else {row.verdict}
    assert judged == expected


def test_every_rule_and_verdict_on_the_page_exists() -> None:
    linked = set(_RULE.findall(TEXT))
    assert len(linked) > 10
    assert linked <= {rule.id for rule in rules()} | set(OWN_RULES)
    assert {verdict for _, judged in TABLES for verdict in judged if "." not in verdict} <= set(
        VERDICTS
    )


def test_what_is_new_for_the_newest_engine_alone_is_on_the_page() -> None:
    """A field that Docker 29 reads and 28.5 does not came with a version of the API."""
    named = {(one.operation, one.place, one.name) for new, _ in TABLES for one in new}
    named |= {(operation, "path", "name") for operation, _, _ in named}  # of a new route
    newest = walk.NAMES[walk.NEWEST]
    missing = [
        (operation, row.place, row.name)
        for row in ROWS
        if row.engines == newest
        for operation in row.operation_ids
        if (operation, row.place, row.name) not in named
    ]
    assert {(operation, place) for operation, place, _ in missing} == UNVERSIONED


UNVERSIONED: Final = {("network.list", "filter")}
"""What the newest engine checks at every version; older ones accept any filter there."""
