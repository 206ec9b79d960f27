"""The route table against ``routes.tsv``: dockerd's routes in the order it registers them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.dockerd.routes import OPERATIONS, ROUTES, STREAM, Operation, match
from authz_plugin.dockerd.uri import read_target
from authz_plugin.errors import Refused


class Row(NamedTuple):
    method: str
    path: str
    section: str
    body: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _rows() -> Iterator[Row]:
    with Path(__file__).with_name("routes.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            yield Row(**row)


ROWS: Final = tuple(_rows())
WILDCARD: Final = re.compile(r"\{\w+(?::(\.[*+]))?\}")
NAMES: Final = (
    "web",
    "create",
    "json",
    "prune",
    "a b#c?d%e",
    "é",
    "registry.example:5000/team/app@sha256:0123",
    "web/alias",
    "x/exec",
)
FORMS: Final = {
    "plain": "{}",
    "a version": "/v1.41{}",
    "a version of four parts": "/v1.41.0.0{}",
    "a version with zeros": "/v01.041{}",
    "an absolute form": "http://evil{}",
    "an absolute form with a version": "HTTPS://[::1]:2375/v1.41{}",
    "an absolute form without a host": "x:{}",
}


BY_QUERY = {"container.checkpoint.restore", "image.import"}
"""Operations that share a route with another one and differ from it in their query."""


def ours(row: Row) -> Operation:
    """The operation of our route for a row: debug takes any method, its profiles are one."""
    profile = re.fullmatch(r"/debug/pprof/(cmdline|profile|symbol|trace)", row.path)
    path = "/debug/pprof/{name}" if profile else row.path
    method = "ANY" if row.section == "debug" else row.method
    found = [op for m, p, op in ROUTES if (m, p) == (method, path) and op.id not in BY_QUERY]
    assert len(found) == 1, f"{len(found)} routes for {row}"
    return found[0]


def reference(method: str, path: str) -> Row | None:
    """The match that gorilla/mux makes: the first registered route for the whole path."""
    for row in ROWS:
        literals, wildcards = WILDCARD.split(row.path)[::2], WILDCARD.findall(row.path)
        patterns = [*(wildcard or "[^/]+" for wildcard in wildcards), ""]
        pattern = "".join(
            re.escape(literal) + wildcard
            for literal, wildcard in zip(literals, patterns, strict=True)
        )
        if row.method in {method, "ANY"} and re.fullmatch(pattern, path):
            return row
    return None


def concrete(row: Row) -> Iterator[tuple[str, str | None]]:
    """Paths that a row's template stands for, each with the name in it."""
    if not WILDCARD.search(row.path):
        yield row.path, None
        return
    for name in NAMES:
        if ":." in row.path or "/" not in name:
            yield WILDCARD.sub(lambda _, name=name: name, row.path), name  # type: ignore[misc]
    if row.path.endswith(":.*}"):
        yield WILDCARD.sub("", row.path), ""


def found(method: str, uri: str) -> tuple[Operation, str | None]:
    target = read_target(uri)
    matched = match(method, target.path, {"fromImage": ("alpine",)})
    return matched.operation, matched.ref


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_path_of_a_row_is_matched_to_the_rows_own_route(row: Row) -> None:
    method = "PATCH" if row.method == "ANY" else row.method
    operation = ours(row)
    for path, name in concrete(row):
        ref = name if operation.kind else None
        for form in FORMS.values():
            assert found(method, form.format(quote(path))) == (operation, ref)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_percent_encoding_changes_no_match(row: Row) -> None:
    method = "DELETE" if row.method == "ANY" else row.method
    for path, name in concrete(row):
        letters = "".join(f"%{byte:02x}" if byte != ord("/") else "/" for byte in path.encode())
        slashes = "/" + quote(path[1:], safe="")
        for uri in (letters, slashes, f"/v1%2e41{letters}", f"/%76%31{slashes}"):
            expected = name if ours(row).kind else None
            assert found(method, uri) == (ours(row), expected), uri


def test_there_is_no_route_that_the_facts_lack() -> None:
    assert {path for _, path, _ in ROUTES} <= {row.path for row in ROWS}
    known = {ours(row).id for row in ROWS}
    assert {operation.id for _, _, operation in ROUTES} - known == BY_QUERY
    routes = {(m, p) for m, p, operation in ROUTES if operation.section != "debug"}
    assert routes == {(row.method, row.path) for row in ROWS if row.section != "debug"}
    assert len(ROUTES) == len(routes) + len({"vars", "pprof", "{name}"}) + len(BY_QUERY)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_route_has_its_rows_section_and_kind_of_body(row: Row) -> None:
    operation = OPERATIONS["image.import"] if row.path == "/images/create" else ours(row)
    assert operation.section == row.section
    body = operation.body
    assert row.body == ("none" if body is None else "stream" if body == STREAM else "json")


def test_a_pull_reads_no_body() -> None:
    assert OPERATIONS["image.pull"].body is None


PIECES: Final = [*sorted({piece for row in ROWS for piece in row.path.split("/")[1:]}), "x", "a.b"]


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "ANY"]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("/".join),
)
def test_any_path_is_matched_as_gorilla_matches_it(method: str, path: str) -> None:
    row = reference(method, f"/{path}")
    if row is None:
        with pytest.raises(Refused):
            match(method, f"/{path}", {"fromImage": ("alpine",)})
    else:
        assert match(method, f"/{path}", {"fromImage": ("alpine",)}).operation is ours(row)


@pytest.mark.parametrize(
    ("method", "path", "operation", "ref"),
    [
        ("DELETE", "/containers/x/checkpoints/y", "container.checkpoint.remove", "x"),
        ("DELETE", "/containers/x/checkpoints", "container.remove", "x/checkpoints"),
        ("DELETE", "/containers/a/b/checkpoints/y", "container.remove", "a/b/checkpoints/y"),
        ("DELETE", "/containers/x/exec", "container.remove", "x/exec"),
        ("DELETE", "/containers/", "container.remove", ""),
        ("DELETE", "/images/a/b/json", "image.remove", "a/b/json"),
        ("DELETE", "/networks/a/connect", "network.remove", "a/connect"),
        ("GET", "/containers/json", "container.list", None),
        ("GET", "/containers/json/json", "container.inspect", "json"),
        ("GET", "/containers/a/archive/json", "container.inspect", "a/archive"),
        ("GET", "/containers/a/attach/ws", "container.attach.ws", "a"),
        ("GET", "/images/json", "image.list", None),
        ("GET", "/images/search/json", "image.inspect", "search"),
        ("GET", "/images/get", "image.export", None),
        ("GET", "/images/a/b/get", "image.export", "a/b"),
        ("GET", "/networks/", "network.list", None),
        ("GET", "/networks/create", "network.inspect", "create"),
        ("GET", "/volumes/", "volume.inspect", ""),
        ("GET", "/volumes/a/b", "volume.inspect", "a/b"),
        ("GET", "/plugins/privileges", "plugin.privileges", None),
        ("GET", "/plugins/privileges/json", "plugin.inspect", "privileges"),
        ("GET", "/debug/pprof/", "debug.pprof", None),
        ("GET", "/debug/pprof/heap", "debug.pprof", None),
        ("CONNECT", "/debug/vars", "debug.vars", None),
        ("OPTIONS", "/containers/create", "system.options", None),
        ("OPTIONS", "/", "system.options", None),
        ("POST", "/containers/create", "container.create", None),
        ("POST", "/containers/prune", "container.prune", None),
        ("POST", "/containers/create/start", "container.start", "create"),
        ("POST", "/containers/a/attach", "container.attach", "a"),
        ("POST", "/containers/a/b/exec", "exec.create", "a/b"),
        ("POST", "/containers/a/exec/start", "container.start", "a/exec"),
        ("POST", "/exec/a/b/start", "exec.start", "a/b"),
        ("POST", "/images/create/push", "image.push", "create"),
        ("PUT", "/volumes/create", "volume.update", "create"),
    ],
)
def test_the_first_registered_route_wins(
    method: str, path: str, operation: str, ref: str | None
) -> None:
    matched = match(method, path, {})
    assert (matched.operation.id, matched.ref) == (operation, ref)
    assert matched.operation is OPERATIONS[operation]


@pytest.mark.parametrize(
    ("query", "operation"),
    [
        ({"fromImage": ("alpine",)}, "image.pull"),
        ({"fromImage": ("alpine",), "fromSrc": ("-",)}, "image.pull"),
        ({"fromSrc": ("-",)}, "image.import"),
        ({"fromSrc": ("http://169.254.169.254/",)}, "image.import"),
        ({"fromImage": ("",), "fromSrc": ("-",)}, "image.import"),
        ({"fromImage": ("", "alpine")}, "image.import"),
        ({"fromimage": ("alpine",)}, "image.import"),
        ({}, "image.import"),
    ],
)
def test_images_create_is_a_pull_only_if_the_first_from_image_says_what(
    query: dict[str, tuple[str, ...]], operation: str
) -> None:
    assert match("POST", "/images/create", query).operation.id == operation


@pytest.mark.parametrize(
    ("query", "operation"),
    [
        ({"checkpoint": ("x",)}, "container.checkpoint.restore"),
        ({"checkpoint-dir": ("/x",)}, "container.checkpoint.restore"),
        ({"detachKeys": ("x",)}, "container.start"),
        ({"checkpoint": ("",), "checkpoint-dir": ("",)}, "container.start"),
        ({"Checkpoint": ("x",)}, "container.start"),
        ({}, "container.start"),
    ],
)
def test_a_start_from_a_checkpoint_is_an_operation_of_its_own(
    query: dict[str, tuple[str, ...]], operation: str
) -> None:
    found = match("POST", "/containers/web/start", query)
    assert (found.operation.id, found.ref) == (operation, "web")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1.44"),
        ("GET", "/v1.44/containers/json"),
        ("GET", "/containers"),
        ("GET", "/containers/"),
        ("GET", "/containers/json/"),
        ("GET", "/Containers/json"),
        ("GET", "/containers/create"),
        ("GET", "/containers/a\nb/json"),
        ("GET", "/info/"),
        ("GET", "/infos"),
        ("GET", "/services/a/b"),
        ("GET", "/services/"),
        ("GET", "/nodes/a/b"),
        ("GET", "/debug/pprof/a/b"),
        ("GET", "/debug"),
        ("GET", "/moby.buildkit.v1.Control/Solve"),
        ("HEAD", "/containers/json"),
        ("HEAD", "/info"),
        ("POST", "/containers/json"),
        ("POST", "/containers/create/"),
        ("POST", "/containers/"),
        ("POST", "/info"),
        ("POST", "/_ping"),
        ("POST", "/volumes/data"),
        ("POST", "/networks/"),
        ("PUT", "/containers/create"),
        ("PATCH", "/containers/json"),
        ("DELETE", "/images"),
        ("DELETE", "/nodes/a/b"),
        ("get", "/containers/json"),
        ("post", "/containers/create"),
        ("ANY", "/containers/json"),
        ("", "/containers/json"),
        ("GET ", "/containers/json"),
        ("CONNECT", "/info"),
    ],
)
def test_what_no_engine_routes_is_refused(method: str, path: str) -> None:
    with pytest.raises(Refused) as raised:
        match(method, path, {})
    assert raised.value.rule == "request.unknown-operation"
    assert raised.value.field == "path"


def test_access_is_the_effect_and_not_the_method() -> None:
    by_method = {
        (operation.id, "read" if method in {"GET", "HEAD", "OPTIONS", "ANY"} else "write")
        for method, _, operation in ROUTES
    }
    effects = {(operation.id, operation.access) for operation in OPERATIONS.values()}
    assert effects - by_method == {
        ("container.attach.ws", "write"),
        ("container.copy", "read"),
        ("container.wait", "read"),
    }


def test_only_parameters_that_dockerd_reads_as_lists_are_lists() -> None:
    assert {op.id: op.lists for op in OPERATIONS.values() if op.lists} == {
        "container.commit": {"changes"},
        "image.attestations": {"platform", "type"},
        "image.build": {"extrahosts", "securityopt", "t"},
        "image.export": {"names", "platform"},
        "image.import": {"changes"},
        "image.load": {"platform"},
        "image.remove": {"platforms"},
        "system.df": {"type"},
    }
