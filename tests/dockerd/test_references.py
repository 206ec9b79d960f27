"""What requests make and name, and how lists are filtered."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from authz_plugin import dockerd

JSON = {"content-type": "application/json"}
ID = "0" * 64


def references(method: str, uri: str, body: Any = None) -> list[tuple[str, str, str]]:
    content = b"" if body is None else json.dumps(body).encode()
    request = dockerd.read(method, uri, JSON if body is not None else {}, content)
    return [(reference.kind, reference.name, reference.use) for reference in request.references]


@pytest.mark.parametrize(
    ("method", "uri", "body", "found"),
    [
        ("POST", "/containers/web/start", None, [("container", "web", "use")]),
        ("POST", "/containers/a/b/start", None, [("container", "a/b", "use")]),
        ("POST", "/containers/a/rename?name=/b", None,
         [("container", "b", "make"), ("container", "a", "use")]),
        ("POST", "/containers/create?name=web", {"Image": "x"}, [("container", "web", "make")]),
        ("POST", "/containers/create", {"Image": "x"}, [("container", "", "make")]),
        ("POST", "/commit?container=web", {}, [("container", "web", "use")]),
        ("POST", "/networks/front/disconnect", {"Container": "web"},
         [("container", "web", "use"), ("network", "front", "use")]),
        ("POST", "/networks/front/connect", {"Container": "web"}, [("container", "web", "use")]),
        ("POST", "/networks/create", {"Name": "front"}, [("network", "front", "make")]),
        ("DELETE", "/networks/front", None, [("network", "front", "use")]),
        ("POST", "/volumes/create", {"Name": "data"}, [("volume", "data", "make")]),
        ("DELETE", "/volumes/data", None, [("volume", "data", "use")]),
        ("POST", "/secrets/create", {"Name": "key"}, [("secret", "key", "make")]),
        ("DELETE", "/secrets/key", None, [("secret", "key", "use")]),
        ("GET", "/images/alpine/json", None, []),
        ("GET", "/containers/json", None, []),
    ],
)  # fmt: skip
def test_a_request_names_things(
    method: str, uri: str, body: Any, found: list[tuple[str, str, str]]
) -> None:
    assert references(method, uri, body) == found


def test_a_container_names_what_it_takes_from_others() -> None:
    host_config = {
        "VolumesFrom": ["db:ro"],
        "Binds": ["data:/data", "/host:/x", "/anonymous"],
        "PidMode": "container:web",
        "Links": ["cache:c"],
    }
    found = references("POST", "/containers/create", {"Image": "x", "HostConfig": host_config})
    assert found == [
        ("container", "", "make"),
        ("container", "db", "use"),
        ("volume", "data", "use"),
        ("container", "web", "use"),
        ("container", "cache", "use"),
    ]


def test_a_service_names_its_secrets_and_configs() -> None:
    spec = {
        "Secrets": [{"SecretID": "s1", "SecretName": "key"}, None],
        "Configs": [{"ConfigID": "c1", "ConfigName": "conf"}],
    }
    body = {"Name": "web", "TaskTemplate": {"ContainerSpec": spec}}
    assert references("POST", "/services/create", body) == [
        ("service", "web", "make"),
        ("secret", "key", "use"),
        ("secret", "s1", "use"),
        ("config", "conf", "use"),
        ("config", "c1", "use"),
    ]
    assert ("service", "web", "use") in references("POST", "/services/x/update?version=1", body)


@pytest.mark.parametrize(
    ("name", "full"), [(ID, True), (ID[1:], False), (ID.replace("0", "g"), False)]
)
def test_a_whole_id_is_said_to_be_one(name: str, full: bool) -> None:
    (reference,) = dockerd.read("POST", f"/containers/{name}/start", {}, b"").references
    assert reference.full_id is full


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ('{"label": ["a=b", "c"]}', {"label": ["a=b", "c"]}),
        ('{"label": {"a=b": true, "c": false}}', {"label": ["a=b"]}),
        ('{"label": "a=b"}', {"label": []}),
        ('{"label": ["a=b"], "label": []}', {}),
        ('["label"]', {}),
        ("{", {}),
        ("[" * 100_000, {}),
        ("", {}),
    ],
)
def test_filters_are_read_in_both_forms(filters: str, found: dict[str, list[str]]) -> None:
    uri = f"/containers/json?filters={quote(filters)}"
    assert dockerd.read("GET", uri, {}, b"").filters == found
