"""Compares the newest source of Docker with what the plugin and the ledger know.

What is known is the table of routes, the ledger, and the source of the version that
``tests/ledger/walk.py`` pins. ``make engines`` prints each difference with what to do about it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from authz_plugin.dockerd import routes
from tests import ledger, oracle
from tests.ledger import walk
from tests.ledger.walk import WalkError

ENGINE: Final = walk.NAMES[walk.NEWEST]
ROUTERS: Final = walk.SOURCES[walk.NEWEST].routers

Kind = Literal[
    "new route",
    "gone route",
    "order of routes",
    "new field",
    "gone field",
    "new parameter",
    "gone parameter",
    "changed handler",
    "changed code",
    "changed module",
    "not understood",
]

TO_DO: Final[Mapping[Kind, str]] = {
    "new route": "add a row to authz_plugin/dockerd/routes.py and to tests/dockerd/routes.tsv "
    "(CONTRIBUTING.md, Add a route)",
    "gone route": "keep it as long as an older engine has it; say so in docs/reference/"
    "api-versions.md",
    "order of routes": "put the rows of authz_plugin/dockerd/routes.py and of "
    "tests/dockerd/routes.tsv into this order",
    "new field": "add it to authz_plugin/dockerd/shapes.py, and a row to tests/ledger/bodies.tsv "
    "(CONTRIBUTING.md, Add a field or a parameter)",
    "gone field": "correct the engines of its row in tests/ledger/bodies.tsv",
    "new parameter": "add a row to tests/ledger/parameters.tsv, and where several values are read, "
    "its name to _LISTS in authz_plugin/dockerd/routes.py",
    "gone parameter": "correct the engines of its row in tests/ledger/parameters.tsv",
    "changed handler": "read it again, also for what it decodes into a type of its own "
    "(tests/oracle/go/v29/main.go) and at which API version",
    "changed code": "read it again: it decides what a plugin is asked and how a request is read; "
    "docs/explanation/what-dockerd-does.md says what follows",
    "changed module": "read its changes: it matches paths, or serves what no plugin is asked about",
    "not understood": "teach tests/oracle/go (or FILTERS in tests/ledger/walk.py) to read it",
}
"""What to do about each kind of difference."""

WATCHED: Final[Mapping[str, str]] = {
    "daemon/command/httphandler.go": "",
    "daemon/command/daemon.go": "daemonCLI.start|buildRouters|initMiddlewares|validateAuthzPlugins"
    "|daemonCLI.reloadConfig|loadListeners",
    "daemon/config/config.go": "MaxAPIVersion|MinAPIVersion|defaultMinAPIVersion",
    "daemon/extensions.go": "",
    "daemon/extensions_default.go": "",
    "daemon/internal/runconfig": "",
    "daemon/internal/versions": "",
    "daemon/server/httputils": "",
    "daemon/server/middleware": "",
    "daemon/server/middleware.go": "",
    "daemon/server/networkbackend": "",
    "daemon/server/router/experimental.go": "",
    "daemon/server/router/local.go": "",
    "daemon/server/router/router.go": "",
    "daemon/server/server.go": "",
    "daemon/server/swarmbackend": "",
    "daemon/server/volumebackend": "",
    "extpoints/servicegrpc": "",
    "pkg/authorization": "",
    "pkg/plugins": "",
}
"""Code beside the handlers that decides what a plugin is asked and how requests are read.

That is what comes before the routes, the middleware, bodies and parameters, and the plugin's
client. The names of declarations, separated by ``|``, are the part of a file that counts; without
names, all of it."""

MODULES: Final = (
    "github.com/gorilla/mux",
    "github.com/moby/buildkit",
    "github.com/moby/extensions",
)
"""Modules that match paths, or serve what dockerd hands over without asking a plugin."""


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """Something of the newest source that is not as it is known."""

    kind: Kind
    what: str


def compare(pinned: Path, newest: Path) -> list[Difference]:
    """Return what the newest source of dockerd has that is not known, and what it lost.

    ``pinned`` and ``newest`` are folders with the source of ``github.com/moby/moby/v2``.
    """
    lines, problems = walk.lines_of_routers(newest / ROUTERS)
    found = {Difference("not understood", problem) for problem in problems[1:]}
    found |= {*_routes(pinned, newest, lines), *_reads(newest, lines), *_code(pinned, newest)}
    return sorted(found)


def compare_fields(api: Path) -> list[Difference]:
    """Return the fields of the types in a folder with Docker's API module that are not known."""
    try:
        found = walk.fields_of_api(api)
    except WalkError as error:
        return [Difference("not understood", str(error).strip())]
    ours = {field for field, engines in walk.fields().items() if ENGINE in engines.split()}
    new = [Difference("new field", field) for field in ledger.unknown_to_ledger(found)]
    gone = [Difference("gone field", " ".join(field)) for field in ours - set(found)]
    return sorted(new + gone)


def report(differences: Iterable[Difference]) -> str:
    """Return the differences as text, by kind, each kind with what to do."""
    lines: list[str] = []
    last = ""
    for difference in differences:
        if difference.kind != last:
            lines += [f"{difference.kind}: {TO_DO[difference.kind]}"]
            last = difference.kind
        lines += [f"  {line}" for line in difference.what.splitlines()]
    return "\n".join(lines)


_Lines = list[tuple[str, str, str]]
"""What each route reads: route, place and name."""


@dataclass(frozen=True, slots=True)
class _Route:
    name: str
    package: str
    handler: str
    hash: str


def _routes(pinned: Path, newest: Path, lines: _Lines) -> Iterator[Difference]:
    before = [_Route(*cells) for cells in _list(pinned / ROUTERS, "handlers")]
    now = [_Route(*cells) for cells in _list(newest / ROUTERS, "handlers")]
    known = {route.name: route for route in before}
    for route in now:
        if not walk.operations(route.name):
            reads = sorted(f"{place} {name}" for own, place, name in lines if own == route.name)
            yield Difference("new route", f"{route.name} ({route.handler}; {', '.join(reads)})")
        elif route.name in known and route.hash != known[route.name].hash:
            yield Difference("changed handler", f"{route.name} ({route.package} {route.handler})")
    for name in known.keys() - {route.name for route in now}:
        yield Difference("gone route", name)
    for package in {route.package for route in now}:
        order = [route.name for route in now if route.package == package and route.name in known]
        was = [route.name for route in before if route.package == package]
        if order != [name for name in was if name in order]:
            yield Difference("order of routes", f"{package}: {', '.join(order)}")


def _reads(newest: Path, lines: _Lines) -> Iterator[Difference]:
    found = {
        (id_, "query" if place == "list" else place, name)
        for id_, place, name in walk.reads_in(lines)
    }
    lists = {(id_, name) for id_, place, name in walk.reads_in(lines) if place == "list"}
    for file, map_, name in walk.accepted_filters(newest):
        if map_ in walk.FILTERS:
            found.add((walk.FILTERS[map_], "filter", name))
        else:
            yield Difference("not understood", f"{file}: whose filters does {map_} name?")
    ours = {
        (id_, row.place, row.name)
        for row in ledger.parameters()
        for id_ in row.operation_ids
        if ENGINE in row.engines.split()
    }
    for read in found - ours:
        yield Difference("new parameter", " ".join(read))
    for read in ours - found:
        yield Difference("gone parameter", " ".join(read))
    for id_, name in lists - walk.lists():
        if name not in routes.OPERATIONS[id_].lists:
            yield Difference("new parameter", f"{id_} query {name} (every value is read)")


def _code(pinned: Path, newest: Path) -> Iterator[Difference]:
    before, now = _declarations(pinned), _declarations(newest)
    changed: dict[str, list[str]] = {}
    for file, name in sorted(before.keys() | now.keys()):
        if (file, name) not in now:
            changed.setdefault(file, []).append(f"{name} (gone)")
        elif (file, name) not in before:
            changed.setdefault(file, []).append(f"{name} (new)")
        elif before[file, name] != now[file, name]:
            changed.setdefault(file, []).append(name)
    for file, names in changed.items():
        yield Difference("changed code", f"{file}: {', '.join(names)}")
    was, is_ = _requirements(pinned), _requirements(newest)
    for module in MODULES:
        if was.get(module) != is_.get(module):
            yield Difference("changed module", f"{module} {was.get(module)} -> {is_.get(module)}")


def _declarations(source: Path) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    places = [place for place in WATCHED if (source / place).exists()]
    for file, name, hash_ in _list(source, "code", *places):
        names = next(WATCHED[place] for place in WATCHED if f"{file}/".startswith(f"{place}/"))
        if not names or name in names.split("|"):
            found.setdefault((file, name), []).append(hash_)
    return found


def _requirements(source: Path) -> dict[str, str]:
    found = re.findall(
        r"^\s*(?:require )?(\S+) (v\S+)", (source / "go.mod").read_text(), re.MULTILINE
    )
    return dict(found)


def _list(*words: Path | str) -> list[list[str]]:
    done = subprocess.run(
        [oracle.build("routers"), *words], capture_output=True, check=True, text=True
    )
    return [line.split("\t") for line in done.stdout.splitlines()]
