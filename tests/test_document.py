"""The input document: every key of its schema is there, whatever the request."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import jsonschema
import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.certificates import Certificate
from authz_plugin.dockerd import CanonicalRequest, gojson
from authz_plugin.dockerd.routes import ROUTES, Operation
from authz_plugin.document import input_document
from authz_plugin.enginestate import EngineState, Unknown, UnseenEngineState
from authz_plugin.errors import Refused
from authz_plugin.hostpaths import LocalHostPaths, Resolution, UnseenHostPaths
from tests.dockerd.written import body_of
from tests.refusals import attempt

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NOBODY: Final = Caller("", "", ())
SCHEMA: Final = json.loads(
    Path(__file__).parents[1].joinpath("policies/schemas/input.json").read_text()
)
HEADERS: Final = {"content-type": "application/json"}


BODY: Final = jsonschema.Draft202012Validator(SCHEMA["properties"]["body"])
WITHOUT_BODY: Final = jsonschema.Draft202012Validator(
    {
        **SCHEMA,
        "properties": {**SCHEMA["properties"], "body": {"type": ["object", "array", "null"]}},
    }
)


class Here:
    """A host on which every path is a link to one place."""

    def resolve(self, path: str) -> Resolution:
        return Resolution(f"/resolved{path}", exists=True)

    def holds_mounts(self, path: str) -> bool | None:
        del path
        return False


def document(
    method: str, uri: str, body: Any = None, *, caller: Caller = NOBODY, paths: Any = None
) -> dict[str, Any]:
    """A document as OPA gets it: through JSON."""
    sent = b"" if body is None else json.dumps(body).encode()
    request = dockerd.read(method, uri, HEADERS if sent else {}, sent)
    made = input_document(request, caller, paths or Here(), NOW, UnseenEngineState())
    copied: dict[str, Any] = json.loads(orjson.dumps(made))
    return copied


def test_the_schema_of_the_document_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_document_holds_the_request_and_the_operation() -> None:
    made = document("DELETE", "/v1.44/containers/web?force=1")
    assert made["version"] == 1
    assert made["phase"] == "request"
    assert made["time"] == "2026-01-02T03:04:05.678+00:00"
    assert made["request"] == {
        "method": "DELETE",
        "uri": "/v1.44/containers/web?force=1",
        "path": "/containers/web",
        "api_version": "1.44",
        "query": {"force": ["1"]},
        "query_authoritative": True,
        "headers": {},
        "unknown_fields": [],
    }
    assert made["operation"] == {
        "id": "container.remove",
        "section": "containers",
        "access": "write",
        "resource": {"kind": "container", "ref": "web"},
    }
    assert (made["body"], made["body_state"], made["hardening"]) == (None, "none", None)


def test_a_path_that_names_nothing_has_no_resource() -> None:
    assert document("GET", "/info")["operation"]["resource"] is None


def test_an_empty_name_is_a_name() -> None:
    assert document("DELETE", "/containers/")["operation"]["resource"]["ref"] == ""


def test_a_body_stands_as_dockerd_holds_it() -> None:
    made = document("POST", "/containers/create", {"image": "x", "hostconfig": {"zzz": 1}})
    assert made["body_state"] == "present"
    assert made["body"]["Image"] == "x"
    assert made["body"]["HostConfig"]["MaskedPaths"] is None
    assert made["request"]["unknown_fields"] == ["HostConfig.zzz"]


def test_a_stream_is_invisible_and_its_query_may_be_overridden() -> None:
    request = dockerd.read("POST", "/build?t=a", {"content-type": "application/x-tar"}, b"")
    made = input_document(request, NOBODY, Here(), NOW, UnseenEngineState())
    assert (made["body"], made["body_state"]) == (None, "invisible")
    assert made["request"]["query_authoritative"] is False


def test_a_caller_has_its_certificates_in_order() -> None:
    one = Certificate("alice", ("dev",), ("web", "db"), ("a.example",), "ab", "2030")
    two = Certificate("authority", (), (), (), "cd", "2031")
    made = document("GET", "/info", caller=Caller("alice", "TLS", (one, two)))
    assert made["caller"] == {
        "user": "alice",
        "method": "TLS",
        "revoked": False,
        "certificates": [
            {
                "subject": {"CN": "alice", "O": ["dev"], "OU": ["web", "db"]},
                "sans": ["a.example"],
                "sha256": "ab",
                "not_after": "2030",
            },
            {
                "subject": {"CN": "authority", "O": [], "OU": []},
                "sans": [],
                "sha256": "cd",
                "not_after": "2031",
            },
        ],
    }


def test_a_revoked_caller_is_shown_as_one() -> None:
    caller = Caller("alice", "TLS", (), revoked=True)
    assert document("GET", "/info", caller=caller)["caller"]["revoked"] is True


def test_a_mount_is_resolved_after_it_was_cleaned() -> None:
    binds = ["/srv/../etc:/e:ro,rshared", "data:/d"]
    made = document("POST", "/containers/create", {"HostConfig": {"Binds": binds}})
    assert made["mounts"] == [
        {
            "type": "bind",
            "source": "/srv/../etc",
            "path": "/etc",
            "resolved": "/resolved/etc",
            "exists": True,
            "target": "/e",
            "read_only": True,
            "submounts": "none",
            "propagation": "rshared",
            "driver": "",
            "options": {},
            "volume": "",
            "origin": "request",
            "field": "HostConfig.Binds[0]",
        },
        {
            "type": "volume",
            "source": "data",
            "path": None,
            "resolved": None,
            "exists": False,
            "target": "/d",
            "read_only": False,
            "submounts": "none",
            "propagation": "",
            "driver": "",
            "options": {},
            "volume": "data",
            "origin": "request",
            "field": "HostConfig.Binds[1]",
        },
    ]


def test_a_host_that_cannot_be_seen_resolves_nothing() -> None:
    body = {"HostConfig": {"Binds": ["/etc:/e"]}}
    made = document("POST", "/containers/create", body, paths=UnseenHostPaths())
    assert (made["mounts"][0]["path"], made["mounts"][0]["resolved"]) == ("/etc", None)


@pytest.mark.parametrize("hours", [-5, 0, 2])
def test_the_time_is_the_same_instant_in_any_zone(hours: int) -> None:
    request = dockerd.read("GET", "/info", {}, b"")
    local = NOW.astimezone(timezone(timedelta(hours=hours)))
    said = input_document(request, NOBODY, Here(), local, UnseenEngineState())["time"]
    assert datetime.fromisoformat(said) == NOW.replace(microsecond=678000)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda made: made.pop("mounts"), "mounts"),
        (lambda made: made["request"].pop("query"), "query"),
        (lambda made: made["operation"].update(id="container.creates"), "creates"),
        (lambda made: made["mounts"].append({}), "type"),
        (lambda made: made.update(extra=1), "extra"),
    ],
)
def test_the_schema_notices_what_is_missing(change: Any, where: str) -> None:
    made = document("GET", "/info")
    WITHOUT_BODY.validate(made)
    change(made)
    with pytest.raises(jsonschema.ValidationError, match=where):
        WITHOUT_BODY.validate(made)


def assert_whole(shape: Any, value: Any) -> None:
    """A canonical body has every field of its shape, at every depth."""
    match shape:
        case gojson.Struct():
            assert value.keys() == shape.fields.keys()
            for name, field in shape.fields.items():
                assert_whole(field, value[name])
        case gojson.Pointer():
            if value is not None or isinstance(shape, gojson.PointerOrZero):
                assert_whole(shape.element, value)
        case gojson.Slice() | gojson.Array():
            for item in value or []:
                assert_whole(shape.element, item)
        case gojson.Map():
            for item in value.values():
                assert_whole(shape.element, item)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
NAMES = st.sampled_from(["web", "a/b", "host", "", "alpine:3@sha256:0", "x/json"]) | TEXT
QUERY = st.dictionaries(
    st.sampled_from(
        ["name", "t", "tag", "fromImage", "repo", "remote", "filters", "dir", "extrahosts", "term"]
    ),
    st.sampled_from(["", "1", "web", '{"label":["a"]}', "reg.example:5000/a", "h:host-gateway"])
    | TEXT,
    max_size=3,
)
CALLERS = st.builds(
    Caller,
    TEXT,
    st.sampled_from(["", "TLS"]),
    st.lists(
        st.builds(
            Certificate,
            TEXT,
            st.lists(TEXT, max_size=2).map(tuple),
            st.lists(TEXT, max_size=2).map(tuple),
            st.lists(TEXT, max_size=2).map(tuple),
            TEXT,
            TEXT,
        ),
        max_size=2,
    ).map(tuple),
    st.booleans(),
)
EVERY_ROUTE: Final = [route for route in ROUTES if route[0] != "ANY"]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes]:
    method, template, operation = draw(st.sampled_from(EVERY_ROUTE))
    path = re.sub(r"\{.+?\}", lambda _: draw(NAMES), template)
    query = "&".join(f"{name}={quote(value)}" for name, value in draw(QUERY).items())
    body = b""
    headers = draw(st.sampled_from([{}, HEADERS, {"content-type": "application/x-tar"}]))
    if isinstance(operation.body, gojson.Struct | gojson.Slice):
        body = draw(body_of(operation.body))[1].encode()
    return method, f"/v1.44{quote(path)}?{query}", headers, body


@given(requests(), CALLERS, st.sampled_from([Here(), LocalHostPaths(), UnseenHostPaths()]))
def test_every_key_is_there_whatever_the_request(
    sent: tuple[str, str, dict[str, str], bytes], caller: Caller, paths: Any
) -> None:
    read = attempt(lambda: dockerd.read(*sent))
    assume(not isinstance(read, Refused))
    assert isinstance(read, CanonicalRequest)
    made = json.loads(orjson.dumps(input_document(read, caller, paths, NOW, UnseenEngineState())))
    WITHOUT_BODY.validate(made)
    assert_whole(read.operation.body, made["body"])
    assert made["operation"]["id"] == read.operation.id


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [route for route in EVERY_ROUTE if isinstance(route[2].body, gojson.Struct | gojson.Slice)],
    ids=lambda value: getattr(value, "id", ""),
)
@settings(max_examples=25)
@given(st.data())
def test_every_body_is_one_of_the_schemas(
    method: str, path: str, operation: Operation, data: st.DataObject
) -> None:
    assert isinstance(operation.body, gojson.Struct | gojson.Slice)
    _, written = data.draw(body_of(operation.body))
    uri = path.replace("{name:.*}", "x").replace("{id:.*}", "x").replace("{id}", "x")
    read = attempt(lambda: dockerd.read(method, uri, HEADERS, written.encode()))
    if isinstance(read, Refused):
        assert read.rule == "request.healthcheck"
        return
    BODY.validate(json.loads(orjson.dumps(read.body)))


class State:
    """dockerd's files: one container, and volumes with their options."""

    is_seen = True

    def __init__(self, points: Any, volumes: Any = None) -> None:
        self._points = points
        self._volumes = volumes or {}

    def mount_points(self, reference: str) -> list[Any]:
        if reference != "web":
            raise Unknown(f"there is no container {reference}")
        return list(self._points)

    def volume_options(self, name: str) -> list[Any]:
        found = self._volumes.get(name)
        if found == "damaged":
            raise Unknown("damaged")
        return [] if found is None else [found]


BIND_POINT: Final = {"Type": "bind", "Source": "/srv/a/../b", "Destination": "/d", "RW": True}
VOLUME_POINT: Final = {"Type": "volume", "Name": "data", "Driver": "local", "Destination": "/v"}
BOUND: Final = {"data": {"MountType": "none", "MountOpts": "bind", "MountDevice": "/srv/c"}}

STARTS: Final = [
    ("POST", "/containers/web/start", None),
    ("POST", "/containers/web/start?checkpoint=c", None),
    ("POST", "/containers/web/restart", None),
    ("GET", "/containers/web/archive?path=/", None),
    ("HEAD", "/containers/web/archive?path=/", None),
    ("POST", "/containers/web/copy", {"Resource": "/"}),
    ("POST", "/containers/web/update", {"RestartPolicy": {"Name": "always"}}),
]


def mounts(method: str, uri: str, body: Any, state: EngineState) -> list[dict[str, Any]]:
    sent = b"" if body is None else json.dumps(body).encode()
    request = dockerd.read(method, uri, HEADERS if sent else {}, sent)
    made: list[dict[str, Any]] = input_document(request, NOBODY, Here(), NOW, state)["mounts"]
    return made


@pytest.mark.parametrize(("method", "uri", "body"), STARTS)
def test_what_a_container_has_is_told_where_dockerd_follows_it_again(
    method: str, uri: str, body: Any
) -> None:
    made = mounts(method, uri, body, State([BIND_POINT, VOLUME_POINT], BOUND))
    told = [(m["origin"], m["type"], m["path"], m["resolved"], m["target"]) for m in made]
    assert told == [
        ("container", "bind", "/srv/b", "/resolved/srv/b", "/d"),
        ("container", "volume", None, None, "/v"),
        ("container", "bind", "/srv/c", "/resolved/srv/c", "/v"),
    ]


@pytest.mark.parametrize(
    ("method", "uri", "body"),
    [
        ("POST", "/containers/web/stop", None),
        ("POST", "/containers/web/unpause", None),
        ("POST", "/containers/web/update", {"Memory": 1, "RestartPolicy": {"Name": "no"}}),
        ("POST", "/containers/web/exec", {"Cmd": ["x"]}),
        ("GET", "/containers/web/export", None),
    ],
)
def test_nothing_is_told_where_dockerd_follows_nothing(method: str, uri: str, body: Any) -> None:
    assert mounts(method, uri, body, State([BIND_POINT])) == []


@pytest.mark.parametrize(
    "points",
    [[1], [{"Source": 1}], [{"Source": "relative", "Type": "bind"}], [{"RW": "yes"}], [None]],
)
def test_what_dockerd_does_not_write_is_unknown(points: Any) -> None:
    (made,) = mounts("POST", "/containers/web/start", None, State(points))
    assert (made["origin"], made["type"], made["path"]) == ("container", "unknown", None)


def test_a_container_that_is_not_found_is_unknown() -> None:
    (made,) = mounts("POST", "/containers/other/start", None, State([]))
    assert (made["type"], made["source"]) == ("unknown", "there is no container other")


def test_a_volume_that_is_used_tells_what_it_is() -> None:
    host = {"Binds": ["data:/x:ro", "new:/y", "lost:/z", "/srv:/s"]}
    state = State([], {**BOUND, "lost": "damaged"})
    made = mounts("POST", "/containers/create", {"Image": "x", "HostConfig": host}, state)
    assert [(m["origin"], m["type"], m["path"]) for m in made] == [
        *[("request", "volume", None)] * 3,
        ("request", "bind", "/srv"),
        ("volume", "bind", "/srv/c"),
        ("volume", "unknown", None),
    ]


def test_options_that_dockerd_passes_over_hide_no_volume() -> None:
    """A volume that is there stays what it is, whatever the mount says of its options."""
    for options in ({"type": "tmpfs"}, {"type": "none", "o": "bind", "device": "/srv/ok"}):
        mount = {
            "Type": "volume",
            "Source": "data",
            "Target": "/x",
            "VolumeOptions": {"DriverConfig": {"Options": options}},
        }
        body = {"Image": "x", "HostConfig": {"Mounts": [mount]}}
        made = mounts("POST", "/containers/create", body, State([], BOUND))
        assert [(m["origin"], m["path"]) for m in made][1:] == [("volume", "/srv/c")]
        assert [m["volume"] for m in made] == ["data", "data"]


def test_volumes_of_another_container_are_the_new_one_s_own() -> None:
    host = {"VolumesFrom": ["web:ro", "other"]}
    state = State([BIND_POINT, VOLUME_POINT], BOUND)
    made = mounts("POST", "/containers/create", {"Image": "x", "HostConfig": host}, state)
    assert [(m["origin"], m["type"], m["path"], m["read_only"], m["field"]) for m in made] == [
        ("request", "bind", "/srv/b", True, "HostConfig.VolumesFrom[0]"),
        ("request", "volume", None, True, "HostConfig.VolumesFrom[0]"),
        ("request", "bind", "/srv/c", True, "HostConfig.VolumesFrom[0]"),
        ("request", "unknown", None, False, "HostConfig.VolumesFrom[1]"),
    ]


def test_volumes_of_another_container_are_unknown_where_dockerd_s_files_are_not_seen() -> None:
    request = {"Image": "x", "HostConfig": {"VolumesFrom": ["web"]}}
    (made,) = mounts("POST", "/containers/create", request, UnseenEngineState())
    assert (made["origin"], made["type"], made["path"]) == ("request", "unknown", None)


class Mounted(Here):
    """A host on which something is mounted below every path."""

    def holds_mounts(self, path: str) -> bool | None:
        return None if path.endswith("unknown") else True


@pytest.mark.parametrize(
    ("version", "mount", "submounts"),
    [
        ("/v1.44", {"ReadOnly": True}, "writable"),
        ("/v1.44", {"ReadOnly": False}, "writable"),
        (
            "/v1.44",
            {"ReadOnly": True, "BindOptions": {"ReadOnlyForceRecursive": True}},
            "read-only",
        ),
        ("/v1.43", {"ReadOnly": True, "BindOptions": {"ReadOnlyForceRecursive": True}}, "writable"),
        ("", {"ReadOnly": True, "BindOptions": {"ReadOnlyForceRecursive": True}}, "writable"),
        ("/v1.44", {"ReadOnly": True, "BindOptions": {"NonRecursive": True}}, "none"),
    ],
)
def test_what_is_mounted_below_a_read_only_bind_may_stay_writable(
    version: str, mount: dict[str, Any], submounts: str
) -> None:
    bind = {"Type": "bind", "Source": "/srv", "Target": "/x", **mount}
    body = {"Image": "x", "HostConfig": {"Mounts": [bind]}}
    (made,) = document("POST", f"{version}/containers/create", body, paths=Mounted())["mounts"]
    assert made["submounts"] == submounts


def test_a_read_only_bind_of_a_path_with_nothing_mounted_below_it_is_read_only() -> None:
    body = {"Image": "x", "HostConfig": {"Binds": ["/srv:/x:ro", "/unknown:/y:ro"]}}
    made = document("POST", "/containers/create", body)["mounts"]
    assert [mount["submounts"] for mount in made] == ["none", "none"]
    made = document("POST", "/containers/create", body, paths=Mounted())["mounts"]
    assert [mount["submounts"] for mount in made] == ["writable", "writable"]
