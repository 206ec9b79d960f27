"""Compares the decisions of imported configurations (OPA) with those of the proxies (HAProxy).

The requests are every route of the Docker API, with and without a version, by every method, under
every variable. A decision that differs must be explained by one of the listed differences.
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
    NAMES_WITH_SLASH,
    PLUGINS,
    REMOVAL,
    UNANCHORED,
    UNKNOWN_PATHS,
    Difference,
)
from authz_plugin.tools.importer.switches import ACTIONS, PART_SWITCHES, is_on
from authz_plugin.tools.validation.probes import PROBES
from tests.dockerd.test_routes import ROWS, WILDCARD
from tests.tools.importer.decisions import Decision, open_decider
from tests.tools.importer.haproxy import passed, running_proxies
from tests.tools.importer.settings import ProxySettings, all_proxy_settings

PAGE: Final = (Path(__file__).parents[3] / "docs/how-to/import.md").read_text()
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
VERSIONS: Final = ("", "/v1.44")
NO_ROUTES: Final = (
    "/", "/containers", "/Containers/json", "/containersx", "/debug", "/libpod/containers/json",
    "/nothing", "/v1.44",
)  # fmt: skip
PLUGIN_RULES: Final = {"plugins.change", "plugins.create", "plugins.install"}
PART_OPERATIONS: Final = {f"container.{word}" for word in ("changes", "logs", "top")}
TAR: Final = (("Content-Type", "application/x-tar"),)
SETTINGS: Final = tuple(all_proxy_settings())
REFUSED: Final = Decision(allow=False, rules=frozenset())


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """A request, and its input document: None if it is not an operation of the Docker API."""

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
    """Return the paths of all routes, with names in place of wildcards."""
    found = dict.fromkeys(NO_ROUTES)
    for row in ROWS:
        for name in ("web", "team/app") if ":." in row.path else ("web",):
            found[WILDCARD.sub(lambda _, name=name: name, row.path)] = None  # type: ignore[misc]
    return list(found)


def all_requests() -> Iterator[ProxyRequest]:
    for path in (f"{version}{path}" for version in VERSIONS for path in paths()):
        for method in METHODS:
            try:
                id_ = match(method, read_target(path).path, {}).operation.id
            except Refused:
                yield ProxyRequest(method, path, None)
                continue
            yield ProxyRequest(method, path, document(method, path, id_))
            if id_ == "image.import":
                yield ProxyRequest(method, path, document(method, path, "image.pull"))


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
    proxy_settings: ProxySettings, imported: Imported, request: ProxyRequest, ours: Decision
) -> Iterator[Difference]:
    """Yield the listed differences that explain a decision other than the proxy's."""
    variables, id_ = dict(proxy_settings.variables), request.operation
    if ours.allow:
        yield from [NAMES_WITH_SLASH] if "/" in request.ref else []
        return
    if request.document is None:
        yield UNKNOWN_PATHS
    if id_ in PLUGINS.operations and ours.rules <= PLUGIN_RULES:
        yield PLUGINS
    if ours.rules != {"sections.operation"}:
        return
    if "/" in request.ref and id_ in PART_OPERATIONS and proxy_settings.dialect == "linuxserver":
        yield NAMES_WITH_SLASH
    if id_ in REMOVAL.operations and variables.get("DELETE") == "0":
        yield REMOVAL
    off = {word for name, (_, word) in PART_SWITCHES.items() if variables.get(name) == "0"}
    for closed in CLOSED:
        is_closed = closed.unless not in imported.operations or closed.id in off
        if id_ in closed.operations and is_closed and closed.id not in proxy_settings.selected:
            yield closed
    ends = {
        f"/{word}"
        for name, words in ACTIONS.items()
        if is_on(variables.get(name, ""))
        for word in words
    }
    if id_ in UNANCHORED.operations and request.path.endswith(tuple(ends)):
        yield UNANCHORED


class Compared(NamedTuple):
    """The number of compared requests, the differences by id, and those that are not listed."""

    requests: int
    differences: Counter[str]
    unlisted: list[str]


@pytest.fixture(scope="module")
def compared(opa: Opa) -> Compared:
    return compare(opa)


def compare(opa: Opa) -> Compared:
    imports = [proxy_settings.imported() for proxy_settings in SETTINGS]
    requests = list(all_requests())
    known = [request.document for request in requests if request.document is not None]
    with open_decider(opa) as decider:
        decided = decider.decide([imported.configuration for imported in imports], known)
    differences, unlisted = Counter[str](), []
    with running_proxies(
        [(proxy_settings.dialect, dict(proxy_settings.variables)) for proxy_settings in SETTINGS]
    ) as proxies:
        for proxy_settings, imported, proxy, decisions in zip(
            SETTINGS, imports, proxies, decided, strict=True
        ):
            theirs = passed(proxy, [(request.method, request.path) for request in requests])
            of_known = iter(decisions)
            ours = [REFUSED if one.document is None else next(of_known) for one in requests]
            for request, passes, decision in zip(requests, theirs, ours, strict=True):
                if decision.allow == passes:
                    continue
                listed = next(reasons(proxy_settings, imported, request, decision), None)
                if listed is not None:
                    differences[listed.id] += 1
                else:
                    verdict = "allowed" if decision.allow else f"denied by {set(decision.rules)}"
                    unlisted.append(f"{proxy_settings}: {request} is {verdict} here")
    return Compared(len(SETTINGS) * len(requests), differences, unlisted)


def test_every_decision_is_the_proxys_but_for_the_listed_differences(compared: Compared) -> None:
    assert not compared.unlisted, "\n".join(compared.unlisted[:40])


def test_every_listed_difference_occurs(compared: Compared) -> None:
    assert compared.differences.keys() == {difference.id for difference in DIFFERENCES}


def test_the_page_has_the_figures_and_the_differences(compared: Compared) -> None:
    times = compared.differences
    rows = "\n".join(row(difference, times[difference.id]) for difference in DIFFERENCES)
    counts = f"{len(SETTINGS)} settings, {compared.requests:,} requests"
    figures = f"**{counts}, {times.total():,} differences.**"
    assert figures in " ".join(PAGE.split()), figures
    assert rows in PAGE, rows


def row(difference: Difference, times: int) -> str:
    """A row of the page's table."""
    ways = [f"`--with {difference.id}`"] if difference.named else []
    ways += [f"open `{difference.unless}`"] if difference.unless else []
    closed = ", ".join(f"`{id_}`" for id_ in sorted(difference.operations)) or "—"
    return (
        f"| `{difference.id}` | {closed} | {' or '.join(ways)} | {difference.reason} | {times:,} |"
    )
