"""Extracts from Docker's source what it reads of requests: fields of types and reads of routers.

The programs that do so are in ``tests/oracle/go``. The types are those of the modules that the
oracle is pinned to; the routers are those of the modules below.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from authz_plugin.dockerd import routes
from authz_plugin.dockerd.routes import STREAM
from tests import oracle

NAMES: Final[Mapping[str, str]] = {"v20": "20.10", "v28": "28.5", "v29": "29"}
"""The engines as the ledger names them, oldest first."""

NEWEST: Final = "v29"
NEWEST_API: Final = "github.com/moby/moby/api"


@dataclass(frozen=True, slots=True)
class Source:
    """A Go module of Docker, with the folder of its routers and its hash in ``sum.golang.org``."""

    module: str
    sum: str
    routers: str


SOURCES: Final[Mapping[str, Source]] = {
    "v20": Source(
        "github.com/docker/docker@v20.10.24+incompatible",
        "h1:Ugvxm7a8+Gz6vqQYQQ2W7GYq5EUPaAiuPgIfVyI3dYE=",
        "api/server/router",
    ),
    "v28": Source(
        "github.com/docker/docker@v28.5.2+incompatible",
        "h1:DBX0Y0zAjZbSrm1uzOkdr1onVghKaftjlSWt4AFexzM=",
        "api/server/router",
    ),
    "v29": Source(
        "github.com/moby/moby/v2@v2.0.0-beta.24",
        "h1:sWv7EckkDJhpraR9yUjkw1XeVf39+MWd58E22PYloNA=",
        "daemon/server/router",
    ),
}

FILTERS: Final[Mapping[str, str]] = {
    "GetServices": "service.list",
    "acceptedFilters": "network.list",
    "acceptedImageFilterTags": "image.list",
    "acceptedListFilters": "volume.list",
    "acceptedPluginFilterTags": "plugin.list",
    "acceptedPruneFilters": "volume.prune",
    "acceptedPsFilterTags": "container.list",
    "acceptedSearchFilterTags": "image.search",
    "containersAcceptedFilters": "container.prune",
    "imagesAcceptedFilters": "image.prune",
    "networksAcceptedFilters": "network.prune",
    "newListConfigsFilters": "config.list",
    "newListNodesFilters": "node.list",
    "newListSecretsFilters": "secret.list",
    "newListTasksFilters": "task.list",
    "pruneFilters": "network.prune",
}
"""The operation of each map of accepted filters, by the name of the map's variable or function.
Engines up to 28 accept any filter for network.list, and all engines for system.events."""

_FOLDERS: Final = ("builder", "daemon", "plugin", "registry", "volume")
"""The folders with these maps."""

_GO: Final = Path(oracle.__file__).parent / "go"


class WalkError(Exception):
    """Docker's source could not be read."""


def engines(found: set[str]) -> str:
    """Return engines as in the ledger's column: in order, separated by spaces."""
    return " ".join(name for name in NAMES.values() if name in found)


@cache
def fields() -> Mapping[tuple[str, str], str]:
    """Return the engines that decode each field, by its type and path."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for engine, name in NAMES.items():
        for type_, path in _paths(oracle.build(engine)):
            found[type_, path].add(name)
    return {field: engines(readers) for field, readers in found.items()}


def _paths(program: Path) -> list[tuple[str, str]]:
    done = subprocess.run([program, "paths"], capture_output=True, check=True, text=True)
    return _fields_in(done.stdout)


def _fields_in(output: str) -> list[tuple[str, str]]:
    return [(type_, path) for type_, path, _ in map(_cells, output.splitlines())]


def _cells(line: str) -> list[str]:
    return line.split("\t")


def pinned_api() -> str:
    """Return the version of the API module that the oracle is pinned to."""
    found = re.search(rf"{NEWEST_API} (\S+)", (_GO / NEWEST / "go.mod").read_text())
    assert found is not None
    return found[1]


def fields_of_api(replaced_by: Path) -> list[tuple[str, str]]:
    """Return the fields, as type and path, that the types of an API module in a folder have.

    Raises ``WalkError`` if the oracle cannot be built with it.
    """
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        for name in (NEWEST, "serve"):
            shutil.copytree(_GO / name, Path(folder) / name)
        here = Path(folder) / NEWEST
        go("mod", "edit", f"-replace={NEWEST_API}={replaced_by}", cwd=here)
        go("build", "-mod=mod", "-o", "walk", ".", cwd=here)
        done = subprocess.run([here / "walk", "paths"], capture_output=True, check=False, text=True)
        if done.returncode:
            raise WalkError(f"the types of {NEWEST_API}:\n{done.stderr}")
        return _fields_in(done.stdout)


@cache
def reads() -> Mapping[tuple[str, str, str], str]:
    """Return the engines of each read of a handler, by operation, place and name.

    Bodies that are decoded into a type are not included. ``lists`` has the parameters of which
    several values are read.
    """
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for engine in NAMES:
        for operation, place, name in _reads(engine):
            found[operation, "query" if place == "list" else place, name].add(NAMES[engine])
        for operation, name in _filters(engine):
            found[operation, "filter", name].add(NAMES[engine])
    return {read: engines(readers) for read, readers in found.items()}


@cache
def lists() -> frozenset[tuple[str, str]]:
    """Return the parameters of which an engine reads every value, with their operations."""
    return frozenset(
        (operation, name)
        for engine in NAMES
        for operation, place, name in _reads(engine)
        if place == "list"
    )


@cache
def _reads(engine: str) -> list[tuple[str, str, str]]:
    lines, problems = lines_of_routers(source(engine) / SOURCES[engine].routers)
    if problems:
        raise WalkError("\n".join([f"the routers of Docker {NAMES[engine]}:", *problems]))
    for route, _, _ in lines:
        if not operations(route):
            raise WalkError(f"{route} is no route of authz_plugin/dockerd/routes.py")
    return reads_in(lines)


def lines_of_routers(routers: Path) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return what each route reads, as route, place and name, and what is not understood."""
    done = subprocess.run(
        [oracle.build("routers"), routers], capture_output=True, check=False, text=True
    )
    found = [(route, place, name) for route, place, name in map(_cells, done.stdout.splitlines())]
    return found, done.stderr.splitlines() if done.returncode else []


def reads_in(lines: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return reads as operation, place and name, without those of routes that are not known."""
    found = []
    for route, place, name in lines:
        for operation in operations(route):
            if place == "route":
                found += [(operation, "path", part) for part in _parts(route)]
            elif place != "body":
                found.append((operation, place, name))
            elif routes.OPERATIONS[operation].body in {None, STREAM}:
                found.append((operation, "stream", "body"))
    return [read for read in found if read not in _ELSEWHERE]


def _filters(engine: str) -> list[tuple[str, str]]:
    found = []
    for file, map_, name in accepted_filters(source(engine)):
        if map_ not in FILTERS:
            raise WalkError(f"{file}: say in {__name__} whose filters {map_} names")
        found.append((FILTERS[map_], name))
    return found


def accepted_filters(folder: Path) -> list[tuple[str, str, str]]:
    """Return the filters that a daemon accepts, as file, map and name."""
    folders = [one for one in _FOLDERS if (folder / one).is_dir()]
    words: list[str | Path] = [oracle.build("routers"), folder, "filters", *folders]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    return [(file, map_, name) for file, map_, name in map(_cells, done.stdout.splitlines())]


_ELSEWHERE: Final = {
    ("container.start", "stream", "body"),  # a row of the bodies: 20.10 decodes it
    ("system.options", "path", "anyroute"),  # the answer is the same for every path
}


def _parts(route: str) -> list[str]:
    return re.findall(r"\{(\w+)", route)


def operations(route: str) -> list[str]:
    """Return the operations of a route, given as method and path; none if it is not known."""
    method, path = route.split(" ", 1)
    known = [
        operation.id
        for own, template, operation in routes.ROUTES
        if template == path and own in {method, "ANY"}
    ]
    if not known and path.startswith("/debug/pprof/"):
        known = ["debug.pprof"]
    return known


def source(engine: str) -> Path:
    """Return the folder of an engine's source, which is downloaded if it is not there."""
    pinned = SOURCES[engine]
    module = download(pinned.module)
    if module["Sum"] != pinned.sum:
        raise WalkError(f"{pinned.module} is not what it was: {module['Sum']}")
    return Path(module["Dir"])


def download(module: str) -> dict[str, Any]:
    """Download a Go module, given with its version, and return what Go says of it."""
    described: dict[str, Any] = json.loads(go("mod", "download", "-json", module))
    return described


def go(*words: str, cwd: Path = _GO) -> str:
    """Run Go and return what it prints; raises ``WalkError`` if it fails."""
    done = subprocess.run(["go", *words], cwd=cwd, capture_output=True, check=False, text=True)
    if done.returncode:
        raise WalkError(f"go {' '.join(words)}:\n{done.stderr}")
    return done.stdout
