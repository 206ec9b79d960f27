"""The request target: what dockerd routes is read as it routes it, the rest is refused."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.dockerd.uri import Target, read_target
from authz_plugin.errors import Refused
from tests.refusals import attempt, refusal_of

CREATE = Target("/containers/create", "1.41", {})


def refusal(uri: str) -> Refused:
    return refusal_of(lambda: read_target(uri))


@pytest.mark.parametrize(
    "uri",
    [
        "/v1.41/containers/create",
        "/v1.41/containers%2Fcreate",
        "/v1.41%2fcontainers/create",
        "/v1%2e41/%63ontainers/%63reate",
        "/%761.41/containers/create",
        "http://evil/v1.41/containers/create",
        "HTTP://user@[::1]:2375/v1.41/containers/create",
        "x:/v1.41/containers/create",
        "a+b-c.d:///v1.41/containers/create",
        "/v1.41/containers/create?",
        "/v1.41/containers/create?&&",
    ],
)
def test_each_way_to_write_a_target_is_the_same_target(uri: str) -> None:
    assert read_target(uri) == CREATE


@pytest.mark.parametrize(
    ("prefix", "version"),
    [
        ("", None),
        ("/v1.41", "1.41"),
        ("/v1.41.0.0", "1.41.0.0"),
        ("/v01.041", "01.041"),
        ("/v1", "1"),
        ("/v.", "."),
        ("/v1..44", "1..44"),
        ("/v999999999999999999999", "999999999999999999999"),
    ],
)
def test_a_version_is_digits_and_dots_and_stays_as_it_was_written(
    prefix: str, version: str | None
) -> None:
    assert read_target(f"{prefix}/info") == Target("/info", version, {})


@pytest.mark.parametrize(
    "path", ["/V1.41/info", "/v/info", "/v1.41a/info", "/v1,41/info", "/v1.41"]
)
def test_what_is_no_version_stays_in_the_path(path: str) -> None:
    assert read_target(path) == Target(path, None, {})


def test_only_one_version_is_taken_off() -> None:
    assert read_target("/v1.41/v1.41/info").path == "/v1.41/info"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/containers/a%3Fb/json", "/containers/a?b/json"),
        ("/containers/a%23b/json", "/containers/a#b/json"),
        ("/containers/a%25b/json", "/containers/a%b/json"),
        ("/containers/a%252Fb/json", "/containers/a%2Fb/json"),
        ("/containers/a+b/json", "/containers/a+b/json"),
        ("/containers/a;b/json", "/containers/a;b/json"),
        ("/containers/%c3%a9/json", "/containers/é/json"),
        ("/containers/a%20b/json", "/containers/a b/json"),
        ("/containers/.../json", "/containers/.../json"),
        ("/containers/..a/json", "/containers/..a/json"),
        ("/containers/create/", "/containers/create/"),
        ("/", "/"),
        ("/http:/y", "/http:/y"),
    ],
)
def test_a_path_is_decoded_once(uri: str, path: str) -> None:
    assert read_target(uri).path == path


@pytest.mark.parametrize(
    "uri",
    [
        "//containers/create",
        "/containers//create",
        "/containers/create//",
        "/./containers/create",
        "/containers/./create",
        "/containers/create/.",
        "/info/../containers/create",
        "/containers/create/..",
        "/..",
        "/.",
        "/%2e%2e/containers/create",
        "/info/%2e%2E/containers/create",
        "/containers%2F%2Fcreate",
        "/%2Fcontainers/create",
        "/v1.41//containers/create",
        "/v1.41/../containers/create",
        "http:////containers/create",
        "//evil/containers/create",
        "x://evil//containers/create",
    ],
)
def test_a_path_that_dockerd_redirects_is_refused(uri: str) -> None:
    refused = refusal(uri)
    assert (refused.rule, refused.field) == ("request.uri", "path")
    assert refused.hint == "leave out //, /./ and /../"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "*",
        "containers/create",
        "?x=1",
        "evil:2375",
        "http:",
        "http://evil",
        "http://evil?/containers/create",
        "http:containers/create",
        "1http://evil/containers/create",
        "%2Fcontainers/create",
    ],
)
def test_a_target_without_a_path_is_refused(uri: str) -> None:
    refused = refusal(uri)
    assert (refused.rule, refused.field) == ("request.uri", "path")


@pytest.mark.parametrize(
    "uri",
    [
        "/containers/a#/json",
        "/containers/create?x=#%zz",
        "/services/create?#%zz",
        "/containers/a\ufffdb/json",
        "/containers/é/json",
        "/containers/create?name=é",
        "/containers/a b/json",
        "/containers/a\tb/json",
        "/containers/a\x00b/json",
        "/containers/a\x7fb/json",
        "/containers/create\n",
        "/containers/create?a=\r\nX: y",
        "/containers/\u202etxt/json",
    ],
)
def test_a_byte_that_no_client_sends_unescaped_is_refused(uri: str) -> None:
    refused = refusal(uri)
    assert (refused.rule, refused.field) == ("request.uri", "path")
    assert refused.hint == "percent-encode it"


@pytest.mark.parametrize(
    "uri",
    [
        "/containers/%/json",
        "/containers/%2/json",
        "/containers/%zz/json",
        "/containers/%2",
        "/containers/%+1/json",
        "/containers/%u002f/json",
        "/containers/%ff%fe/json",
        "/containers/%c0%af/json",
        "/containers/%ed%a0%80/json",
        "/containers/%ef%bf%bd/json",
        "/containers/a%00b/json",
        "/containers/a%0ab/json",
        "/containers/a%1bb/json",
        "/containers/a%7Fb/json",
    ],
)
def test_an_escape_that_decodes_to_no_clean_text_is_refused(uri: str) -> None:
    refused = refusal(uri)
    assert (refused.rule, refused.field) == ("request.uri", "path")


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("a=1", {"a": ("1",)}),
        ("a", {"a": ("",)}),
        ("a=", {"a": ("",)}),
        ("=1", {"": ("1",)}),
        ("a=1=2", {"a": ("1=2",)}),
        ("a=1&b=2&a=3", {"a": ("1", "3"), "b": ("2",)}),
        ("a=1&A=2", {"a": ("1",), "A": ("2",)}),
        ("%61=%31", {"a": ("1",)}),
        ("a+b=c+d%2B", {"a b": ("c d+",)}),
        ("a=?/:@", {"a": ("?/:@",)}),
        ("a=%26&b=%3D%3b", {"a": ("&",), "b": ("=;",)}),
        ("a=%C3%A9", {"a": ("é",)}),
        ("changes=RUN%20a%0A%09b%0D", {"changes": ("RUN a\n\tb\r",)}),
    ],
)
def test_a_query_is_read_as_go_reads_it(raw: str, query: dict[str, tuple[str, ...]]) -> None:
    assert read_target(f"/x?{raw}").query == query


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("a=1;b=2", "query.a"),
        ("a;b", "query.a;b"),
        ("ok=1&force=%zz", "query.force"),
        ("force=%", "query.force"),
        ("force=%2", "query.force"),
        ("%zz=1", "query.%zz"),
        ("force=%ff", "query.force"),
        ("force=%ed%a0%80", "query.force"),
        ("force=a%00", "query.force"),
        ("force=%1b[2J", "query.force"),
        ("force=%7f", "query.force"),
        ("f%00=1", "query.f%00"),
    ],
)
def test_a_query_that_dockerd_reads_in_part_is_refused(raw: str, field: str) -> None:
    refused = refusal(f"/containers/x?{raw}")
    assert (refused.rule, refused.field) == ("request.query", field)


SEGMENT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(
    lambda text: "\ufffd" not in text and text not in {".", ".."} and "/" not in text
)


@given(st.lists(SEGMENT, min_size=1, max_size=4), st.booleans())
def test_any_path_survives_being_quoted(segments: list[str], versioned: bool) -> None:
    path = "/" + "/".join(segments)
    target = read_target(f"{'/v1.44' if versioned else '/info'}{quote(path)}")
    assert target.path == (path if versioned else f"/info{path}")
    assert target.api_version == ("1.44" if versioned else None)


VALUE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))


@given(st.lists(st.tuples(VALUE, VALUE), max_size=5))
def test_any_query_survives_being_quoted(pairs: list[tuple[str, str]]) -> None:
    raw = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    expected: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        expected[name] = (*expected.get(name, ()), value)
    assert read_target(f"/x?{raw}").query == expected


ODD = st.text(st.sampled_from("/.%2eFf?&=;#:+@v1 \x00\n\x7fé\ufffdhtp"), max_size=40)


@given(ODD | st.text(max_size=40))
def test_any_text_is_a_clean_target_or_refused(uri: str) -> None:
    target = attempt(lambda: read_target(uri))
    if isinstance(target, Refused):
        assert target.rule in {"request.uri", "request.query"}
    else:
        segments = target.path.split("/")
        assert segments[0] == ""
        assert "" not in segments[1:-1]
        assert not {".", ".."} & set(segments)
        assert target.path.isprintable() or not target.path.isascii()
