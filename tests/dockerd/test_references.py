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
        ("POST", "/networks/create", {"Name": "a", "ConfigFrom": {"Network": "b"}},
         [("network", "a", "make"), ("network", "b", "use")]),
        ("POST", "/volumes/create",
         {"Name": "a", "Driver": "csi", "ClusterVolumeSpec": {"Secrets": [{"Secret": "key"}]}},
         [("volume", "a", "make"), ("secret", "key", "use")]),
        ("PUT", "/volumes/a?version=1", {"Spec": {"Secrets": [{"Secret": "key"}]}},
         [("secret", "key", "use"), ("volume", "a", "use")]),
        ("POST", "/networks/create", {"Name": "front"}, [("network", "front", "make")]),
        ("DELETE", "/networks/front", None, [("network", "front", "use")]),
        ("POST", "/volumes/create", {"Name": "data"}, [("volume", "data", "make")]),
        ("DELETE", "/volumes/data", None, [("volume", "data", "use")]),
        ("POST", "/secrets/create", {"Name": "key"}, [("secret", "key", "make")]),
        ("DELETE", "/secrets/key", None, [("secret", "key", "use")]),
        ("GET", "/images/alpine/json", None, []),
        ("GET", "/containers/json", None, []),
        ("GET", "/containers/json?since=a&before=", None, [("container", "a", "use")]),
        ("GET", '/containers/json?filters={"before":["a"],"since":{"b":false},"name":["c"]}', None,
         [("container", "a", "use"), ("container", "b", "use")]),
        ("GET", '/images/json?filters={"before":["a"]}', None, []),
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
    ("name", "full"),
    [(ID, True), (ID[1:], False), (ID.replace("0", "g"), False), ("z" * 25, False)],
)
def test_a_whole_id_is_said_to_be_one(name: str, full: bool) -> None:
    (reference,) = dockerd.read("POST", f"/containers/{name}/start", {}, b"").references
    assert reference.full_id is full


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ('{"label": ["a=b", "c"]}', {"label": ["a=b", "c"]}),
        ('{"label": {"a=b": true, "c": false}}', {"label": ["a=b", "c"]}),
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


@pytest.mark.parametrize("driver", ["", "local", "plugin"])
def test_a_named_volume_is_named_whatever_its_driver_is_told(driver: str) -> None:
    config = {"Name": driver, "Options": {"o": "bind", "device": "/workspace"}}
    mount = {"Type": "volume", "Source": "data", "VolumeOptions": {"DriverConfig": config}}
    container = {"Image": "x", "HostConfig": {"Mounts": [mount]}}
    found = references("POST", "/containers/create", container)
    assert found == [("container", "", "make"), ("volume", "data", "use")]
    service = {"Name": "a", "TaskTemplate": {"ContainerSpec": {"Mounts": [mount]}}}
    found = references("POST", "/services/create", service)
    assert found == [("service", "a", "make"), ("volume", "data", "use")]


SWARM_ID = "0123456789abcdefghijklmno"


@pytest.mark.parametrize(
    ("method", "uri", "full", "by_id"),
    [
        ("POST", f"/containers/{SWARM_ID}/start", False, False),
        ("POST", "/containers/blue/start", False, False),
        ("POST", "/containers/b1/start", False, True),
        ("DELETE", f"/networks/{ID}", True, True),
        ("DELETE", f"/networks/{SWARM_ID}", True, True),
        ("DELETE", "/networks/blue", False, True),
        ("DELETE", "/networks/blue-net", False, False),
        ("GET", f"/services/{SWARM_ID}", True, True),
        ("GET", f"/services/{ID}", False, False),
        ("GET", f"/secrets/{SWARM_ID}", True, True),
        ("GET", f"/configs/{SWARM_ID[1:]}", False, True),
        ("GET", "/configs/Blue", False, False),
        ("GET", f"/volumes/{ID}", True, False),
        ("GET", f"/volumes/{SWARM_ID}", True, True),
    ],
)
def test_each_kind_has_ids_of_its_own_form(method: str, uri: str, full: bool, by_id: bool) -> None:
    (reference,) = dockerd.read(method, uri, {}, b"").references
    assert (reference.full_id, reference.may_be_id) == (full, by_id)


def test_a_volume_of_a_mount_is_never_called_by_an_id() -> None:
    body = json.dumps({"Image": "x", "HostConfig": {"Binds": ["cafe:/x"]}}).encode()
    _, volume = dockerd.read("POST", "/containers/create", JSON, body).references
    assert (volume.name, volume.may_be_id) == ("cafe", False)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ('{"label": ["a=b"]}', [("a", "b", False)]),
        ('{"label": ["a=b=c", "a", "a="]}', [("a", "b=c", False), ("a", None, False),
                                             ("a", "", False)]),
        ('{"label": {"a=b": true, "a=c": false}}', [("a", "b", False), ("a", "c", False)]),
        ('{"label!": ["a=b"], "label": []}', [("a", "b", True)]),
        ('{"name": ["a=b"]}', []),
    ],
)  # fmt: skip
def test_labels_are_read_out_of_filters(
    filters: str, found: list[tuple[str, str | None, bool]]
) -> None:
    request = dockerd.read("GET", f"/services?filters={quote(filters)}", {}, b"")
    assert [(f.name, f.value, f.excluded) for f in request.label_filters] == found
