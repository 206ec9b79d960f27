"""Every field and parameter that Docker reads is judged, and the ledger that says so is true.

Walks Docker's own source (``tests/oracle/go``, needs Go) and has OPA decide every witness.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from authz_plugin.dockerd import routes
from authz_plugin.dockerd.routes import STREAM
from authz_plugin.engine import binary
from authz_plugin.own_rules import OWN_RULES
from authz_plugin.rules import Rule
from tests import ledger, oracle
from tests.generate.rules import rules
from tests.ledger import Row, walk
from tests.ledger.decisions import Decider, Witness
from tests.oracle import is_available

ROWS: Final = (*ledger.bodies(), *ledger.parameters())

READ_WHERE_IT_HAS_NO_EFFECT: Final = {("image.pull", "changes")}
"""Lists that a handler reads for another operation of the same route."""

STILL_OPEN: Final = frozenset(ledger.OPEN.read_text().split("\n")) - {""}


@pytest.fixture(scope="module", autouse=True)
def go() -> None:
    assert is_available(), "Go walks Docker's source: put go into PATH"


@pytest.fixture(scope="module")
def witnesses(
    opa: binary.Opa, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Row, Witness]]:
    decider = Decider()
    evaluations = [
        (row, decider.witness(row, id_)) for row in ROWS if row.witness for id_ in row.operation_ids
    ]
    decider.decide(opa.path, tmp_path_factory.mktemp("ledger"))
    return evaluations


def test_every_operation_that_decodes_a_body_has_a_type() -> None:
    decoded = {
        operation.id
        for operation in routes.OPERATIONS.values()
        if operation.body is not None and operation.body != STREAM
    }
    assert decoded | {"container.start"} == set(ledger.TYPES)
    assert {type_ for type_, _ in walk.fields()} == set(ledger.TYPES.values())


def test_every_field_of_dockers_types_has_a_row() -> None:
    unseen = [
        f"{operation} {path} ({readers})"
        for operation, type_ in ledger.TYPES.items()
        for (walked, path), readers in walk.fields().items()
        if walked == type_ and not _rows_of(operation, path)
    ]
    assert unseen == [], (
        f"say in {ledger.BODIES.name} which rule judges these, or why none needs to; where one "
        "should and none does, write the rule"
    )


def test_every_row_of_a_field_has_one_and_names_the_engines_that_read_it() -> None:
    wrong = []
    for row in ledger.bodies():
        for operation in row.operation_ids:
            type_ = ledger.TYPES.get(operation, "")
            readers = {
                reader
                for (walked, path), names in walk.fields().items()
                if walked == type_ and row.covers(path)
                for reader in names.split()
            }
            if row.place != "body" or not readers:
                wrong.append(f"{row.where}: no engine has {operation} {row.name}: remove the row")
            elif row.engines != walk.engines(readers):
                wrong.append(f"{row.where}: {row.name} is read by {walk.engines(readers)}")
    assert wrong == []


def test_every_parameter_header_and_stream_that_a_router_reads_has_a_row() -> None:
    known = {(id_, row.place, row.name) for row in ledger.parameters() for id_ in row.operation_ids}
    assert sorted(set(walk.reads()) - known) == [], (
        f"say in {ledger.PARAMETERS.name} which rule judges these, or why none needs to"
    )
    assert sorted(known - set(walk.reads())) == [], "no engine reads these: remove the rows"


def test_every_row_of_a_parameter_names_the_engines_that_read_it() -> None:
    wrong = [
        f"{row.where}: {row.name} is read by {walk.reads()[id_, row.place, row.name]}"
        for row in ledger.parameters()
        for id_ in row.operation_ids
        if walk.reads().get((id_, row.place, row.name)) != row.engines
    ]
    assert wrong == []


def test_a_parameter_is_a_list_to_us_where_it_is_one_to_docker() -> None:
    ours = {(id_, name) for id_, known in routes.OPERATIONS.items() for name in known.lists}
    assert walk.lists() - READ_WHERE_IT_HAS_NO_EFFECT == ours


def test_no_field_of_a_body_is_a_parameter_to_docker() -> None:
    parameters = {(id_, name) for id_, place, name in walk.reads() if place == "query"}
    fields = {(id_, name) for id_, known in routes.OPERATIONS.items() for name in known.body_fields}
    assert len(fields) > 100
    assert parameters & fields == set()


def test_a_field_is_judged_or_harmless_and_not_both() -> None:
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for row in ROWS:
        for id_ in row.operation_ids:
            verdicts.setdefault((id_, row.place, row.name), set()).add(row.verdict)
    both = [
        key for key, found in verdicts.items() if len(found) > 1 and found != {"judged", "open"}
    ]
    assert both == []
    twice = Counter(
        (id_, row.place, row.name, row.rules) for row in ROWS for id_ in row.operation_ids
    )
    assert [key for key, count in twice.items() if count > 1] == []


def test_every_rule_that_a_row_names_exists() -> None:
    known = {rule.id for rule in rules()} | set(OWN_RULES)
    wrong = [
        f"{row.where}: {rule}" for row in ROWS for rule in row.rules.split() if rule not in known
    ]
    assert wrong == [], "name the rule as docs/reference/rules has it"


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.records], ids=lambda r: r.id)
def test_what_a_rule_records_of_a_request_has_a_row_that_names_the_rule(rule: Rule) -> None:
    """A rule compares what it records, so no such field is harmless in the rule's operations. No
    metadata names these operations: they are those of the rows that name the rule."""
    for place in rule.records:
        part, dot, name = place.partition(".")
        path = name.removesuffix(".*") + "{}" if name.endswith(".*") else name
        named = any(
            rule.id in row.rules.split() and row.place == part and row.covers(path) for row in ROWS
        )
        assert not dot or named, (
            f"{rule.id} records {place}: correct the field's row in {ledger.BODIES.name} or "
            f"{ledger.PARAMETERS.name}: judged, with this rule, its facts and a witness"
        )


def test_every_witness_is_denied_by_the_rules_of_its_row_which_read_its_facts(
    witnesses: list[tuple[Row, Witness]],
) -> None:
    problems = [
        f"{row.where}: {witness.operation} {row.name}: {problem}"
        for row, witness in witnesses
        for problem in witness.problems()
    ]
    assert problems == [], (
        "correct the row, or the rule: a rule that a row names must deny the witness, must deny "
        "something else without the field, and something else without each fact of the row"
    )
    assert len(witnesses) > 600


def test_nothing_is_open_but_what_is_known_to_be() -> None:
    now = {f"{row.operations} {row.place} {row.name}" for row in ROWS if row.verdict == "open"}
    assert sorted(now - STILL_OPEN) == [], "write a rule that judges these, and name it in the row"
    assert sorted(STILL_OPEN - now) == [], f"no longer open: remove them from {ledger.OPEN.name}"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"verdict": "fine"}, "no verdict"),
        ({"place": "somewhere"}, "no place"),
        ({"rules": ""}, "needs its rules"),
        ({"witness": ""}, "witness"),
        ({"witness": "{"}, "no JSON"),
        ({"context": "[]"}, "no JSON object"),
        ({"verdict": "open", "why": ""}, "needs its reason"),
    ],
)
def test_a_row_that_says_nothing_is_refused(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    row = ledger.bodies()[2]
    cells = {name: getattr(row, name) for name in ledger.COLUMNS} | change
    file = tmp_path / "rows.tsv"
    file.write_text("\t".join(ledger.COLUMNS) + "\n" + "\t".join(cells.values()) + "\n")
    with pytest.raises(ledger.LedgerError, match=problem):
        list(ledger.read_rows(file))


def _rows_of(operation: str, path: str) -> list[Row]:
    return [row for row in ledger.bodies() if operation in row.operation_ids and row.covers(path)]


ROUTER: Final = """\
package made

import "net/http"

func (m *made) initRoutes() {
	m.routes = []router.Route{router.NewPostRoute("/made", m.postMade)}
}

func (m *made) postMade(
	ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string,
) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	return m.inner(r, r.Form.Get("first"), r.Header.Get("X-Second"))
}

func (m *made) inner(request *http.Request, one, two string) error {
	third := request.Form["third"]
	READ
	return m.backend.Make(one, two, third)
}
"""


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        ('fourth := request.URL.Query().Get("fourth")', ""),
        ("fourth := request.Trailer", "an unknown use of the request's Trailer"),
        ("fourth := request.URL.RawQuery", "another use of r.URL"),
        ("fourth := request.Form.Get(one)", "the name of a query that is no literal"),
        ("fourth := request.Form", "an unknown use of the request's Form"),
        ("fourth := elsewhere.Read(request)", "the request is passed to elsewhere.Read"),
        ("fourth := request", "the request is used in a"),
    ],
)
def test_a_read_that_the_walk_does_not_understand_is_an_error(
    tmp_path: Path, read: str, problem: str
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/made.go").write_text(ROUTER.replace("READ", read))
    done = subprocess.run(
        [oracle.build("routers"), tmp_path], capture_output=True, check=False, text=True
    )
    assert problem in done.stderr
    assert done.returncode == bool(problem)
    found = ["POST /made\tquery\tfourth"] if not problem else []
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            "POST /made\theader\tX-Second",
            "POST /made\tlist\tthird",
            "POST /made\tquery\tfirst",
            "POST /made\troute\tmade",
            *found,
        ]
    )


def test_the_filters_that_docker_accepts_are_found_by_the_map_that_names_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon/list.go").write_text(
        """\
package daemon

var acceptedFilters = map[string]bool{"id": true, "label!": true}

var others = map[string]bool{"none": true}

func newFilters() {
	accepted := map[string]bool{"name": true}
	check(accepted)
}
"""
    )
    done = subprocess.run(
        [oracle.build("routers"), tmp_path, "filters", "daemon"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "daemon/list.go\tacceptedFilters\tid",
        "daemon/list.go\tacceptedFilters\tlabel!",
        "daemon/list.go\tnewFilters\tname",
    ]
