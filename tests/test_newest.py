"""``make engines`` says of a newer Docker what is new, and of the pinned one that nothing is."""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from tests import newest
from tests.harness import engines
from tests.ledger import walk
from tests.newest import MODULES, ROUTERS, TO_DO, WATCHED, Difference, __main__
from tests.oracle import is_available

TABLE: Final = f"{ROUTERS}/system/system.go"
HANDLERS: Final = f"{ROUTERS}/system/system_routes.go"
FILTERS: Final = "daemon/list.go"
INFO: Final = 'router.NewGetRoute("/info", r.getInfo),'
BUILD: Final = 'router.NewPostRoute("/build", br.postBuild),'
PRUNE: Final = (
    'router.NewPostRoute("/build/prune", br.postPrune, router.WithMinimumAPIVersion("1.31")),'
)
VERSION: Final = "info, err := s.backend.SystemVersion(ctx)"
UNKNOWN: Final = "an unknown use of the request's"
VERSION_CHANGED: Final = "changed handler: GET /version (system getVersion)"

CHANGES: Final = {
    "a route": (
        TABLE,
        INFO,
        f'{INFO}\nrouter.NewPostRoute("/made", r.postAuth),',
        {
            "new route: POST /made (postAuth; body stream, route system)",
        },
    ),
    "a route that is gone": (TABLE, INFO, "", {"gone route: GET /info"}),
    "a route of a later version": (
        TABLE,
        INFO,
        INFO.replace(")", ', router.WithMinimumAPIVersion("1.57"))', 1),
        {"changed handler: GET /info (system getInfo)"},
    ),
    "a route of a form that is not known": (
        TABLE,
        INFO,
        f"{INFO}\nrouter.NewGetRoute(made, r.getInfo),",
        {"not understood: system/system.go: : a route without a literal path"},
    ),
    "an order": (
        f"{ROUTERS}/build/build.go",
        f"{BUILD}\n\t\t{PRUNE}",
        f"{PRUNE}\n\t\t{BUILD}",
        {"order of routes: build: POST /build/prune, POST /build, POST /build/cancel"},
    ),
    "a parameter and a header": (
        HANDLERS,
        VERSION,
        f'{VERSION}\nuse(r.FormValue("made"), r.Header.Get("X-Made"))',
        {
            "new parameter: system.version query made",
            "new parameter: system.version header X-Made",
            VERSION_CHANGED,
        },
    ),
    "a list": (
        HANDLERS,
        VERSION,
        f'{VERSION}\nuse(r.Form["made"])',
        {
            "new parameter: system.version query made",
            "new parameter: system.version query made (every value is read)",
            VERSION_CHANGED,
        },
    ),
    "a parameter that is gone": (
        HANDLERS,
        'httputils.BoolValue(r, "verbose")',
        "false",
        {
            "gone parameter: system.df query verbose",
            "changed handler: GET /system/df (system getDiskUsage)",
        },
    ),
    "a body": (
        HANDLERS,
        VERSION,
        f"{VERSION}\nhttputils.ReadJSON(r, &info)",
        {"new parameter: system.version stream body", VERSION_CHANGED},
    ),
    "a read that is not understood": (
        HANDLERS,
        VERSION,
        f"{VERSION}\nuse(r.Trailer)",
        {
            f"not understood: system/system_routes.go: GET /version: {UNKNOWN} Trailer",
            VERSION_CHANGED,
        },
    ),
    "what a handler calls": (
        HANDLERS,
        "func backFillLegacy(ev *events.Message) any {",
        "func backFillLegacy(ev *events.Message) any {\n\tuse(ev)",
        {"changed handler: GET /events (system getEvents)"},
    ),
    "comments and layout": (
        HANDLERS,
        "func (s *systemRouter) getVersion(",
        "// getVersion is commented on.\nfunc (s  *systemRouter)  getVersion(",
        set(),
    ),
    "a filter": (
        FILTERS,
        '"ancestor": ',
        '"made": true,\n"ancestor": ',
        {"new parameter: container.list filter made"},
    ),
    "filters that are not known": (
        FILTERS,
        "var acceptedPsFilterTags",
        'var madeFilters = map[string]bool{"made": true}\n\nvar acceptedPsFilterTags',
        {"not understood: daemon/list.go: whose filters does madeFilters name?"},
    ),
    "a protocol before the routes": (
        "daemon/command/httphandler.go",
        '"application/grpc"',
        '"application/made"',
        {"changed code: daemon/command/httphandler.go: httpHandler.ServeHTTP"},
    ),
    "what a plugin is sent": (
        "pkg/authorization/api.go",
        "// RequestBody",
        "Made string\n\n\t// RequestBody",
        {"changed code: pkg/authorization/api.go: Request"},
    ),
    "a function of the plugin's client": (
        "pkg/plugins/client.go",
        "func backoff(",
        "func made() {}\n\nfunc backoff(",
        {"changed code: pkg/plugins/client.go: made (new)"},
    ),
    "a function with another name": (
        "daemon/extensions.go",
        "func extensionDirs(",
        "func made(",
        {"changed code: daemon/extensions.go: extensionDirs (gone), made (new)"},
    ),
    "what the daemon offers to the handlers": (
        f"{ROUTERS}/system/backend.go",
        "type Backend interface {",
        "type Backend interface {\n\tMade()",
        set(),
    ),
    "a module": (
        "go.mod",
        "github.com/gorilla/mux v1.8.1",
        "github.com/gorilla/mux v9.0.0",
        {"changed module: github.com/gorilla/mux v1.8.1 -> v9.0.0"},
    ),
}
"""Changes of Docker's source: the file, what is replaced there, and what is reported."""


@pytest.fixture(scope="module", autouse=True)
def go() -> None:
    assert is_available(), "Go walks Docker's source: put go into PATH"


@pytest.fixture(scope="module")
def pinned() -> Path:
    return walk.source(walk.NEWEST)


@pytest.fixture(scope="module")
def unchanged(pinned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the parts of Docker's source that are compared."""
    copy = tmp_path_factory.mktemp("moby")
    for place in ("go.mod", ROUTERS, *WATCHED, *_files_with_filters(pinned)):
        source, target = pinned / place, copy / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    _make_writable(copy)
    return copy


def test_the_pinned_version_has_nothing_new(pinned: Path, unchanged: Path) -> None:
    assert newest.compare(pinned, pinned) == []
    assert newest.compare(pinned, unchanged) == []
    assert newest.report([]) == ""


def test_the_engine_that_is_built_is_the_one_that_is_read() -> None:
    assert walk.SOURCES[walk.NEWEST].module == f"github.com/moby/moby/v2@{engines.MOBY}"


def test_what_is_watched_is_there(pinned: Path) -> None:
    """Code that moved would be watched no more."""
    found = newest._declarations(pinned)
    for place, names in WATCHED.items():
        inside = {name for file, name in found if f"{file}/".startswith(f"{place}/")}
        assert inside, place
        assert not names or set(names.split("|")) == inside
    assert newest._requirements(pinned).keys() >= set(MODULES)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_reported_and_nothing_else(pinned: Path, unchanged: Path, change: str) -> None:
    file, before, after, expected = CHANGES[change]
    changed = unchanged / file
    text = changed.read_text()
    assert before in text, f"{file} is not what this test changes"
    changed.write_text(text.replace(before, after, 1))
    try:
        assert _texts(newest.compare(pinned, unchanged)) == expected
    finally:
        changed.write_text(text)


def test_a_field_of_a_newer_module_is_reported(tmp_path: Path) -> None:
    copy = tmp_path / "api"
    shutil.copytree(walk.download(f"{walk.NEWEST_API}@{walk.pinned_api()}")["Dir"], copy)
    _make_writable(copy)
    file = copy / "types/container/hostconfig.go"
    text = file.read_text()
    assert newest.compare_fields(copy) == []
    file.write_text(text.replace("\tPrivileged ", "\tMade bool\n\tGiven ", 1))
    assert _texts(newest.compare_fields(copy)) == {
        "new field: container.create HostConfig.Made",
        "new field: container.create HostConfig.Given",
        "gone field: container.create HostConfig.Privileged",
    }
    file.write_text(text.replace("\tPrivileged ", "\tMade any\n\tPrivileged ", 1))
    (problem,) = newest.compare_fields(copy)
    assert problem.kind == "not understood"
    assert "what it may hold is not known" in problem.what
    file.write_text("package")
    (problem,) = newest.compare_fields(copy)
    assert problem.kind == "not understood"


def test_the_report_says_once_for_each_kind_what_to_do() -> None:
    text = newest.report(
        [
            Difference("new field", "container.create HostConfig.Made"),
            Difference("new field", "container.create HostConfig.Other"),
            Difference("new route", "POST /made"),
        ]
    )
    assert text.splitlines() == [
        f"new field: {TO_DO['new field']}",
        "  container.create HostConfig.Made",
        "  container.create HostConfig.Other",
        f"new route: {TO_DO['new route']}",
        "  POST /made",
    ]


def test_the_status_says_whether_something_is_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[Difference] = []
    monkeypatch.setattr("sys.argv", ["make engines", "--no-start"])
    monkeypatch.setattr(__main__, "_newest", _pinned_version)
    monkeypatch.setattr(newest, "compare", lambda *_: list(found))
    monkeypatch.setattr(newest, "compare_fields", lambda *_: [])
    assert __main__.main() == 0
    assert "nothing is new" in capsys.readouterr().out
    found.append(Difference("new route", "POST /made"))
    assert __main__.main() == 1
    printed = capsys.readouterr().out
    assert "  POST /made" in printed
    assert "left out" in printed


def test_the_newest_version_is_the_last_that_the_proxy_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(walk, "go", _listing)
    assert __main__._newest("example.org/made") == "v2.0.0-beta.10"


def _listing(*words: str, **_: Any) -> str:
    assert words[-1] == "example.org/made"
    return '{"Versions": ["v2.0.0-beta.9", "v2.0.0-beta.10"]}'


def _pinned_version(module: str) -> str:
    if module == walk.NEWEST_API:
        return walk.pinned_api()
    return walk.SOURCES[walk.NEWEST].module.partition("@")[2]


def _files_with_filters(source: Path) -> set[str]:
    return {file for file, _, _ in walk.accepted_filters(source)}


def _texts(differences: Iterable[Difference]) -> set[str]:
    """Differences as text, without the numbers of lines."""
    return {f"{one.kind}: " + re.sub(r"\.go:\d+:", ".go:", one.what) for one in differences}


def _make_writable(folder: Path) -> None:
    for one in [folder, *folder.rglob("*")]:
        one.chmod(one.stat().st_mode | stat.S_IWUSR)
