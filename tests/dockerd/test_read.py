"""The one door: any request is read as one canonical request or refused, and in linear time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.dockerd.routes import OPERATIONS, ROUTES
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import Refused
from authz_plugin.hostpaths import LocalHostPaths
from tests.dockerd.written import body_of
from tests.refusals import attempt, refusal_of

HEADERS: Final = {"content-type": "application/json"}


def refusal(method: str, uri: str, headers: dict[str, str], body: bytes) -> Refused:
    return refusal_of(lambda: dockerd.read(method, uri, headers, body))


def test_a_request_is_read_whole() -> None:
    uri = "http://x/v1.41/containers%2Fcreate?name=web&platform="
    body = '{"image":"alpine","ho\u017ftconfig":{"binds":["/srv/../etc:/e"],"capadd":"all"},"x":0}'
    read = dockerd.read("POST", uri, HEADERS, body.encode())
    assert (read.method, read.uri, read.path) == ("POST", uri, "/containers/create")
    assert (read.api_version, read.ref) == ("1.41", None)
    assert read.query == {"name": ("web",), "platform": ("",)}
    assert read.headers == HEADERS
    assert read.operation is OPERATIONS["container.create"]
    assert (read.body_state, read.query_authoritative) == ("present", True)
    assert read.body["Image"] == "alpine"
    assert read.unknown_fields == ("x",)
    assert [mount.path for mount in read.mounts] == ["/etc"]
    assert [capability.name for capability in read.confinement.capabilities] == ["ALL"]
    assert [image.name for image in read.images] == ["docker.io/library/alpine"]
    assert [endpoint.network for endpoint in read.endpoints] == ["bridge"]
    assert [reference.name for reference in read.references] == ["web"]


@pytest.mark.parametrize(
    ("method", "uri", "field"),
    [
        ("DELETE", "/containers/x?force=0&force=1", "query.force"),
        ("DELETE", "/containers/x?force=1&v=1&force=1", "query.force"),
        ("POST", "/containers/x/kill?signal=0&signal=9", "query.signal"),
        ("POST", "/containers/create?name=a&name=b", "query.name"),
        ("POST", "/images/create?fromImage=a&fromImage=b", "query.fromImage"),
        ("POST", "/images/create?fromImage=a&tag=1&t%61g=2", "query.tag"),
        ("POST", "/build?remote=a&remote=b", "query.remote"),
        ("GET", "/containers/json?filters=&filters=", "query.filters"),
        ("GET", "/info?x=1&x=2", "query.x"),
        ("GET", "/info?=1&=2", "query."),
        ("GET", "/images/search?names=a&names=b", "query.names"),
        ("POST", "/build?names=a&names=b", "query.names"),
        ("POST", "/containers/create?cmd=a&cmd=b", "query.cmd"),
        ("POST", "/networks/create?Cmd=a&Cmd=b", "query.Cmd"),
    ],
)
def test_a_parameter_given_twice_is_refused(method: str, uri: str, field: str) -> None:
    refused = refusal(method, uri, HEADERS, b"{}")
    assert (refused.rule, refused.field) == ("request.query", field)
    assert refused.hint == "give it once"


@pytest.mark.parametrize(
    ("method", "uri", "name", "values"),
    [
        ("POST", "/build?t=a&t=b", "t", ("a", "b")),
        ("GET", "/images/get?names=a&names=b", "names", ("a", "b")),
        ("POST", "/containers/x/stop?t=1&T=2", "T", ("2",)),
    ],
)
def test_a_list_and_names_of_another_case_are_no_repetition(
    method: str, uri: str, name: str, values: tuple[str, ...]
) -> None:
    assert dockerd.read(method, uri, {}, b"").query[name] == values


def test_fields_of_the_body_that_dockerode_repeats_in_the_query_change_nothing() -> None:
    uri, body = "/containers/create?name=web", b'{"Image":"a","Cmd":["b","c"]}'
    plain = dockerd.read("POST", uri, HEADERS, body)
    repeated = dockerd.read("POST", f"{uri}&Image=a&Cmd=b&Cmd=c", HEADERS, body)
    assert repeated.query == {"name": ("web",), "Image": ("a",), "Cmd": ("b", "c")}
    assert repeated._replace(uri=plain.uri, query=plain.query) == plain


@pytest.mark.parametrize(
    ("request_", "rule", "field"),
    [
        (("GET", "//info?x=1&x=1", {}, b""), "request.uri", "path"),
        (("GET", "/infos?x=1&x=1", {}, b""), "request.unknown-operation", "path"),
        (("POST", "/containers/create?x=1&x=1", {}, b""), "request.query", "query.x"),
        (("POST", "/containers/create", {}, b""), "request.body-withheld", "body"),
        (("POST", "/containers/create", HEADERS, b"{"), "request.body-json", "body"),
        (
            ("POST", "/containers/create", HEADERS, b'{"Binds":["/:/h"]}'),
            "request.body-old-shape",
            "Binds",
        ),
        (
            ("POST", "/v1.20/containers/x/start", HEADERS, b'{"Privileged":true}'),
            "request.body-old-shape",
            "body",
        ),
        (("POST", "/containers/x/start", HEADERS, b""), "request.body-form", "header.content-type"),
        (("POST", "/services/create?#%zz", HEADERS, b""), "request.uri", "path"),
        (("post", "/containers/create", HEADERS, b"{}"), "request.unknown-operation", "path"),
    ],
)
def test_what_cannot_be_understood_is_refused_where_it_first_shows(
    request_: tuple[str, str, dict[str, str], bytes], rule: str, field: str
) -> None:
    refused = refusal(*request_)
    assert (refused.rule, refused.field) == (rule, field)


@pytest.mark.parametrize(
    ("uri", "filters"),
    [
        ("/containers/json", {}),
        ("/containers/json?filters=", {}),
        ('/containers/json?filters={"label":["a=b","c"]}', {"label": ["a=b", "c"]}),
        ('/containers/json?filters={"label":{"a":true,"b":false}}', {"label": ["a", "b"]}),
        ('/containers/json?filters={"label":["a"],"label":["b"]}', {}),
        ('/containers/json?filters={"label":["\\ud800"]}', {}),
        ('/containers/json?filters={"\\udfff":["a"]}', {}),
        ("/containers/json?filters=" + "[" * 5000, {}),
        ("/containers/json?filters=[]", {}),
        ("/containers/json?filters={", {}),
        ('/containers/json?filters={"label":[1,"a"],"x":1}', {"label": ["a"], "x": []}),
    ],
)
def test_filters_that_no_engine_could_read_are_none(
    uri: str, filters: dict[str, list[str]]
) -> None:
    path, _, query = uri.partition("?filters=")
    assert dockerd.read("GET", f"{path}?filters={quote(query)}", {}, b"").filters == filters


WORDS: Final = [
    *("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", "", "ANY", "\x00"),
    *sorted({path for _, path, _ in ROUTES}),
]
URIS = st.builds(
    lambda prefix, path, name, query: prefix + path.replace("{", "").split(":")[0] + name + query,
    st.sampled_from(["", "/v1.41", "http://x", "/v1.41/..", "//"]),
    st.sampled_from(WORDS[10:]),
    st.sampled_from(["", "/", "/x/json", "/x/start", "%2e%2e", "#", "\ufffd", "%ff"]),
    st.sampled_from(["", "?", "?a=1&a=2", "?t=1&t=2", "?filters={", "?x=%zz", "?fromImage=a:b@c"]),
)
HEADER = st.dictionaries(
    st.sampled_from(["content-type", "content-length", "x-registry-auth"]) | st.text(max_size=8),
    st.sampled_from(["application/json", "text/plain", "0", "5"]) | st.text(max_size=8),
    max_size=4,
)


@given(st.sampled_from(WORDS[:10]) | st.text(), URIS | st.text(), HEADER, st.binary())
def test_any_request_is_read_or_refused(
    method: str, uri: str, headers: dict[str, str], body: bytes
) -> None:
    read = attempt(lambda: dockerd.read(method, uri, headers, body))
    if isinstance(read, Refused):
        assert read.rule.startswith("request.")
        assert read.field
        assert read.message
    else:
        assert read.operation.id in OPERATIONS


JSON_ROUTES: Final = [
    (method, path.replace("{name:.*}", "x").replace("{id}", "x").replace("{id:.*}", "x"), op)
    for method, path, op in ROUTES
    if op.body not in {None, "stream"}
]


@given(st.data())
def test_any_body_that_dockerd_holds_is_read_and_facts_come_of_it(data: st.DataObject) -> None:
    method, path, operation = data.draw(st.sampled_from(JSON_ROUTES))
    assert operation.body is not None
    assert operation.body != "stream"
    canonical, written = data.draw(body_of(operation.body))
    read = attempt(lambda: dockerd.read(method, path, HEADERS, written.encode()))
    if isinstance(read, Refused):
        assert read.rule == "request.healthcheck"
        return
    assert read.operation is operation
    assert read.body == canonical
    assert json.dumps(read.workload._asdict())
    fields = {mount.field for mount in read.mounts}
    assert len(fields) == len(read.mounts), "no two mounts stand in one place"


@given(st.data(), st.binary(max_size=4))
def test_a_body_with_bytes_exchanged_is_read_or_refused(
    data: st.DataObject, inserted: bytes
) -> None:
    method, path, operation = data.draw(st.sampled_from(JSON_ROUTES))
    assert operation.body is not None
    assert operation.body != "stream"
    _, written = data.draw(body_of(operation.body))
    body = written.encode()
    at = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(at, len(body)))
    mutated = body[:at] + inserted + body[end:]
    read = attempt(lambda: dockerd.read(method, path, HEADERS, mutated))
    if isinstance(read, Refused):
        assert read.rule.startswith("request.body-") or read.rule == "request.healthcheck"
    else:
        assert read.operation is operation


def host(**fields: Any) -> str:
    return json.dumps({"HostConfig": fields})


def endpoint(config: Any, size: int) -> str:
    return json.dumps({"NetworkingConfig": {"EndpointsConfig": {"k" * size: config}}})


HOSTILE: Final[dict[str, Callable[[int], str]]] = {
    "lists in lists": lambda n: '{"x":' + "[" * n,
    "objects in objects": lambda n: '{"x":' * (n // 5),
    "one long number": lambda n: f'{{"StopTimeout":{"1" * n}}}',
    "one long fraction": lambda n: f'{{"x":0.{"1" * n}}}',
    "one long exponent": lambda n: f'{{"x":1e{"1" * n}}}',
    "one long string": lambda n: json.dumps({"Image": "a-" * (n // 2) + "!"}),
    "one long string of escapes": lambda n: json.dumps({"User": "é" * (n // 6)}),
    "one long path": lambda n: host(Binds=["/a" * (n // 2) + ":/b"]),
    "one long path of dots": lambda n: host(Binds=["/a/.." * (n // 5) + ":/b"]),
    "many unknown names": lambda n: json.dumps({f"x{i}": 0 for i in range(n // 12)}),
    "many labels": lambda n: json.dumps({"Labels": {f"x{i}": "" for i in range(n // 13)}}),
    "many mounts": lambda n: host(Mounts=[{}] * (n // 4)),
    "many binds": lambda n: host(Binds=["a:/b"] * (n // 8)),
    "many capabilities": lambda n: host(CapAdd=["a"] * (n // 5)),
    "many options": lambda n: host(SecurityOpt=["a=b"] * (n // 7)),
    "many limits": lambda n: host(Ulimits=[{}] * (n // 4)),
    "many ports": lambda n: host(PortBindings={str(i): [] for i in range(n // 13)}),
    "many bindings": lambda n: host(PortBindings={"80": [{}] * (n // 4)}),
    "many networks": lambda n: json.dumps(
        {"NetworkingConfig": {"EndpointsConfig": {str(i): None for i in range(n // 16)}}}
    ),
    "unknown names below a long key": lambda n: endpoint(
        {f"x{i}": 0 for i in range(n // 24)}, n // 2
    ),
    "links below a long key": lambda n: endpoint({"Links": ["a"] * (n // 10)}, n // 2),
    "bindings below a long port": lambda n: host(PortBindings={"1" * (n // 2): [{}] * (n // 8)}),
    "bindings below a long protocol": lambda n: host(
        PortBindings={"80/" + "k" * (n // 2): [{}] * (n // 8)}
    ),
    "sysctls below a long key": lambda n: endpoint(
        {"DriverOpts": {"com.docker.network.endpoint.sysctls": "a," * (n // 4)}}, n // 2
    ),
    "binds of a long driver": lambda n: host(
        VolumeDriver="k" * (n // 2), Binds=["a:b"] * (n // 14)
    ),
    "volumes of a long driver": lambda n: json.dumps(
        {
            "HostConfig": {"VolumeDriver": "k" * (n // 2)},
            "Volumes": {str(i): {} for i in range(n // 26)},
        }
    ),
}


def weight(value: Any) -> int:
    """Characters of a value as JSON, nearly, counted without writing them."""
    if isinstance(value, dict):
        return sum(len(key) + 4 + weight(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(1 + weight(item) for item in value)
    return len(value) + 2 if isinstance(value, str) else 5


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_takes_time_and_room_in_proportion(make: Callable[[int], str]) -> None:
    body = make(200_000).encode()
    assert 90_000 < len(body) < 250_000
    started = time.process_time()
    read = attempt(lambda: dockerd.read("POST", "/containers/create", HEADERS, body))
    document: dict[str, Any] = {}
    if not isinstance(read, Refused):
        assert len(read.unknown_fields) <= 20
        document = input_document(
            read, Caller("", "", ()), LocalHostPaths(), datetime.now(UTC), UnseenEngineState()
        )
    assert weight(document) < 150 * len(body)
    assert time.process_time() - started < 5, "a second on a slow machine, minutes if quadratic"


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_of_4_mib_is_no_heavier_than_many_entries_are(
    make: Callable[[int], str],
) -> None:
    body = make(4 << 20).encode()
    started = time.process_time()
    read = attempt(lambda: dockerd.read("POST", "/containers/create", HEADERS, body))
    if isinstance(read, Refused):
        assert read.rule in {"request.body-json", "request.body-size", "request.body-type"}
    else:
        assert len(read.mounts) + len(read.ports) + len(read.references) <= 2**17
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    "uri",
    [
        "/" + "a" * 1_000_000,
        "/containers/" + "a/" * 500_000 + "x",
        "/containers/" + "/export" * 150_000 + "x",
        "/containers/x?" + "&".join(f"a{i}=1" for i in range(100_000)),
        "/containers/x?" + "&" * 1_000_000,
        "/containers/" + "%61" * 300_000,
        "/images/create?fromImage=" + "a-" * 400_000 + "!",
        "/containers/x?force=" + "%zz" * 300_000,
        "/" + "v1." * 300_000 + "/info",
        "http:" + "/" * 1_000_000,
    ],
)
def test_a_hostile_target_takes_time_in_proportion(uri: str) -> None:
    started = time.process_time()
    for method in ("GET", "POST", "DELETE"):
        attempt(partial(dockerd.read, method, uri, {}, b""))
    assert time.process_time() - started < 15
