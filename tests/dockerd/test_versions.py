"""Fields that restrict have no effect where dockerd drops them for the request's API version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authz_plugin import dockerd
from authz_plugin.dockerd.versions import _is_below

SERVICE = {
    "TaskTemplate": {
        "ContainerSpec": {
            "CapabilityDrop": ["ALL"],
            "Privileges": {"NoNewPrivileges": True},
        },
        "Resources": {"Limits": {"Pids": 100}},
    }
}
BIND = {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"NonRecursive": True}}
CONTAINER = {"HostConfig": {"Mounts": [BIND, {"Type": "tmpfs", "Target": "/c"}]}}


def read(uri: str, body: Any) -> dockerd.CanonicalRequest:
    headers = {"content-type": "application/json"}
    return dockerd.read("POST", uri, headers, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("version", "privileges", "others"),
    [
        ("", True, True),
        ("/v1.56", True, True),
        ("/v1.44", True, True),
        ("/v1.44.0", True, True),
        ("/v01.044", True, True),
        ("/v2", True, True),
        ("/v1.43", False, True),
        ("/v1.43.9", False, True),
        ("/v1.41", False, True),
        ("/v1.40", False, False),
        ("/v1.040.7", False, False),
        ("/v1..44", False, False),
        ("/v1", False, False),
        ("/v.", False, False),
    ],
)
@pytest.mark.parametrize("path", ["/services/create", "/services/x/update?version=1"])
def test_a_service_keeps_what_its_version_has(
    version: str, path: str, privileges: bool, others: bool
) -> None:
    request = read(f"{version}{path}", SERVICE)
    spec = request.body["TaskTemplate"]["ContainerSpec"]
    assert spec["Privileges"]["NoNewPrivileges"] is privileges
    assert spec["CapabilityDrop"] == (["ALL"] if others else [])
    assert request.workload.hardening is not None
    assert request.workload.hardening.no_new_privileges is privileges
    (pids,) = [limit.value for limit in request.workload.limits if limit.resource == "pids"]
    assert (pids == 100) is others


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"TaskTemplate": {"ContainerSpec": {}}},
        {"TaskTemplate": {"Resources": {}}},
        {"TaskTemplate": {"ContainerSpec": {"Privileges": {}}, "Resources": {"Limits": {}}}},
    ],
)
def test_a_service_without_such_fields_is_read(body: Any) -> None:
    assert read("/v1.24/services/create", body).body == read("/services/create", body).body


@pytest.mark.parametrize(
    ("version", "recursive"), [("", False), ("/v1.40", False), ("/v1.39", True)]
)
def test_a_bind_of_an_old_version_is_recursive(version: str, recursive: bool) -> None:
    bind, tmpfs = read(f"{version}/containers/create", CONTAINER).mounts
    assert bind.recursive is recursive
    assert tmpfs.recursive is True


def test_versions_are_compared_by_their_numbers() -> None:
    assert _is_below("1.9", "1.41")
    assert not _is_below("1.100", "1.41")
    assert not _is_below("1." + "9" * 5000, "1.41")
    assert _is_below("1." + "0" * 5000 + "40", "1.41")
