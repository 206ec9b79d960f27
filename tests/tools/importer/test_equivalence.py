"""An imported configuration decides as the proxy did: a real HAProxy beside a real OPA.

Every route of the Docker API, with and without a version, by every method, under every variable.
Where the two differ, one of the listed differences says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.dockerd.routes import OPERATIONS, STREAM, match
from authz_plugin.dockerd.uri import read_target
from authz_plugin.document import input_document
from authz_plugin.engine.binary import Opa
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import Refused
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.importer import Imported
from authz_plugin.tools.importer.differences import (
    CLOSED,
    DIFFERENCES,
    ENDLESS,
    PLUGINS,
    REMOVAL,
    SLASHES,
    UNKNOWN,
    Difference,
)
from authz_plugin.tools.importer.switches import ACTIONS, GATES, is_on
from authz_plugin.tools.validation.probes import PROBES
from tests.dockerd.test_routes import ROWS, WILDCARD
from tests.tools.importer.decisions import Decided, open_judge
from tests.tools.importer.haproxy import passed, running_proxies
from tests.tools.importer.settings import Told, all_told

PAGE: Final = (Path(__file__).parents[3] / "docs/how-to/import.md").read_text()
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
VERSIONS: Final = ("", "/v1.44")
NO_ROUTES: Final = (
    "/", "/containers", "/Containers/json", "/containersx", "/debug", "/libpod/containers/json",
    "/nothing", "/v1.44",
)  # fmt: skip
PLUGIN_RULES: Final = {"plugins.change", "plugins.create", "plugins.install"}
GATED: Final = {f"container.{word}" for word in ("changes", "logs", "top")}
TAR: Final = (("Content-Type", "application/x-tar"),)
TOLD: Final = tuple(all_told())
REFUSED: Final = Decided(allow=False, rules=frozenset())


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what dockerd makes of it: nothing if it is no operation."""

    method: str
    path: str
    document: Mapping[str, Any] | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def operation(self) -> str:
        return "" if self.document is None else str(self.document["operation"]["id"])

    @property
    def ref(self) -> str:
        resource = None if self.document is None else self.document["operation"]["resource"]
        return "" if resource is None else str(resource["ref"])


def paths() -> list[str]:
    """The paths of all routes, with names in the place of wildcards."""
    found = dict.fromkeys(NO_ROUTES)
    for row in ROWS:
        for name in ("web", "team/app") if ":." in row.path else ("web",):
            found[WILDCARD.sub(lambda _, name=name: name, row.path)] = None  # type: ignore[misc]
    return list(found)


def questions() -> Iterator[Question]:
    for path in (f"{version}{path}" for version in VERSIONS for path in paths()):
        for method in METHODS:
            try:
                id_ = match(method, read_target(path).path, {}).operation.id
            except Refused:
                yield Question(method, path, None)
                continue
            yield Question(method, path, document(method, path, id_))
            if id_ == "image.import":
                yield Question(method, path, document(method, path, "image.pull"))


def document(method: str, path: str, id_: str) -> Mapping[str, Any]:
    """The input document of a harmless, well-formed request for an operation."""
    probe = PROBES.get(id_, Request("OPTIONS", "/"))
    query = probe.target.partition("?")[2] if id_ != "image.import" else "fromSrc=-"
    headers = TAR if OPERATIONS[id_].body == STREAM else probe.headers
    lower = {name.lower(): value for name, value in headers}
    read = dockerd.read(method, f"{path}?{query}", lower, probe.body)
    assert read.operation.id == id_
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return input_document(read, Caller("", "", ()), UnseenHostPaths(), now, UnseenEngineState())


def reasons(
    told: Told, imported: Imported, question: Question, ours: Decided
) -> Iterator[Difference]:
    """The listed differences that a difference from the proxy can be."""
    variables, id_ = dict(told.variables), question.operation
    if ours.allow:
        yield from [SLASHES] if "/" in question.ref else []
        return
    if question.document is None:
        yield UNKNOWN
    if id_ in PLUGINS.operations and ours.rules <= PLUGIN_RULES:
        yield PLUGINS
    if ours.rules != {"sections.operation"}:
        return
    if "/" in question.ref and id_ in GATED and told.dialect == "linuxserver":
        yield SLASHES
    if id_ in REMOVAL.operations and variables.get("DELETE") == "0":
        yield REMOVAL
    off = {word for name, (_, word) in GATES.items() if variables.get(name) == "0"}
    for closed in CLOSED:
        is_closed = closed.unless not in imported.operations or closed.id in off
        if id_ in closed.operations and is_closed and closed.id not in told.asked:
            yield closed
    ends = {
        f"/{word}"
        for name, words in ACTIONS.items()
        if is_on(variables.get(name, ""))
        for word in words
    }
    if id_ in ENDLESS.operations and question.path.endswith(tuple(ends)):
        yield ENDLESS


class Compared(NamedTuple):
    """How many requests were compared, the differences by id, and those that are not listed."""

    requests: int
    differences: Counter[str]
    unlisted: list[str]


@pytest.fixture(scope="module")
def compared(opa: Opa) -> Compared:
    return compare(opa)


def compare(opa: Opa) -> Compared:
    imports = [told.carried_over() for told in TOLD]
    asked = list(questions())
    known = [question.document for question in asked if question.document is not None]
    with open_judge(opa) as judge:
        decided = judge.decide([imported.configuration for imported in imports], known)
    differences, unlisted = Counter[str](), []
    with running_proxies([(told.dialect, dict(told.variables)) for told in TOLD]) as proxies:
        for told, imported, proxy, decisions in zip(TOLD, imports, proxies, decided, strict=True):
            theirs = passed(proxy, [(question.method, question.path) for question in asked])
            of_known = iter(decisions)
            ours = [REFUSED if one.document is None else next(of_known) for one in asked]
            for question, passes, decision in zip(asked, theirs, ours, strict=True):
                if decision.allow == passes:
                    continue
                listed = next(reasons(told, imported, question, decision), None)
                if listed is not None:
                    differences[listed.id] += 1
                else:
                    verdict = "allowed" if decision.allow else f"denied by {set(decision.rules)}"
                    unlisted.append(f"{told}: {question} is {verdict} here")
    return Compared(len(TOLD) * len(asked), differences, unlisted)


def test_every_decision_is_the_proxys_but_for_the_listed_differences(compared: Compared) -> None:
    assert not compared.unlisted, "\n".join(compared.unlisted[:40])


def test_every_listed_difference_occurs(compared: Compared) -> None:
    assert compared.differences.keys() == {difference.id for difference in DIFFERENCES}


def test_the_page_has_the_figures_and_the_differences(compared: Compared) -> None:
    times = compared.differences
    rows = "\n".join(row(difference, times[difference.id]) for difference in DIFFERENCES)
    figures = (
        f"**{len(TOLD)} settings, {compared.requests:,} requests, {times.total():,} differences.**"
    )
    assert figures in PAGE, figures
    assert rows in PAGE, rows


def row(difference: Difference, times: int) -> str:
    """A row of the page's table."""
    ways = [f"`--with {difference.id}`"] if difference.named else []
    ways += [f"open `{difference.unless}`"] if difference.unless else []
    closed = ", ".join(f"`{id_}`" for id_ in sorted(difference.operations)) or "—"
    return (
        f"| `{difference.id}` | {closed} | {' or '.join(ways)} | {difference.reason} | {times:,} |"
    )
