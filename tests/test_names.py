"""What may be an id satisfies no rule on a name, and no lost field lets it, on a real OPA."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import EngineError
from authz_plugin.hostpaths import LocalHostPaths
from tests.conftest import MakeEngine
from tests.sweep import without_each_part

_JSON = {"content-type": "application/json"}
_BRIDGE = {"networks": {"default_bridge": False}}
_SOME = {"networks": {"join": ["a*", "cafe"]}}
_IMAGES = {"images": {"allow": ["docker.io/library/app"], "ids": False}}
_TENANT = {"tenancy": {"names": ["b*", "blue"], "labels": {"tenant": "blue"}}}
_RESERVED = {"labels": {"reserved": ["traefik.*"]}}
_ALIASES = {"networks": {"aliases": False}}
_OPEN = dict.fromkeys(("commit", "secrets", "services"), "write")


def ask(method: str, uri: str, body: Any = None) -> dict[str, Any]:
    content = b"" if body is None else json.dumps(body).encode()
    request = dockerd.read(method, uri, {} if body is None else _JSON, content)
    made = input_document(
        request, Caller("", "", ()), LocalHostPaths(), datetime.now(UTC), UnseenEngineState()
    )
    copied: dict[str, Any] = json.loads(json.dumps(made))
    return copied


def create(host: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    body = {"Image": "app", "HostConfig": {"NetworkMode": "none", **(host or {})}, **body}
    return ask("POST", "/containers/create?name=blue", body)


def join(network: str) -> dict[str, Any]:
    return create({"NetworkMode": network})


def mounted(image: str) -> dict[str, Any]:
    return create({"Mounts": [{"Type": "image", "Source": image, "Target": "/x"}]})


def listed(path: str, **filters: Any) -> dict[str, Any]:
    return ask("GET", f"{path}?{urlencode({'filters': json.dumps(filters)})}")


def committed(change: str) -> dict[str, Any]:
    return ask("POST", f"/commit?{urlencode({'container': 'blue', 'changes': change})}", {})


_DENIED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "the bridge by an id": (_BRIDGE, join("0" * 64), "networks.default-bridge"),
    "the bridge by the start of an id": (_BRIDGE, join("1"), "networks.default-bridge"),
    "the bridge by NetworkID": (
        _BRIDGE,
        create(NetworkingConfig={"EndpointsConfig": {"a-net": {"NetworkID": "1"}}}),
        "networks.default-bridge",
    ),
    "a network by the start of an id that fits a pattern": (_SOME, join("a1"), "networks.join"),
    "a network by a swarm's id": (_SOME, join("a" + "z" * 24), "networks.join"),
    "a network by NetworkID": (
        _SOME,
        ask("POST", "/networks/a-net/connect",
            {"Container": "x", "EndpointConfig": {"NetworkID": "back-net"}}),
        "networks.join",
    ),
    "an image that is mounted": (_IMAGES, mounted("other"), "images.source"),
    "an image that is mounted by id": (_IMAGES, mounted("0a1b"), "images.source"),
    "a container by the start of an id": (
        _TENANT, ask("POST", "/containers/b1/start"), "tenancy.name",
    ),
    "a service by the start of an id": (_TENANT, ask("GET", "/services/bz"), "tenancy.name"),
    "a link with networking disabled": (
        {**_TENANT, "networks": {"links": True}},
        create({"Links": ["red-web:db"]}, NetworkDisabled=True, Labels={"tenant": "blue"}),
        "tenancy.name",
    ),
    "a volume behind a bind": (
        _TENANT,
        create(
            {"Mounts": [{"Type": "volume", "Source": "red-data", "Target": "/x", "VolumeOptions": {
                "DriverConfig": {"Options": {"o": "bind", "device": "/workspace"}}}}]},
            Labels={"tenant": "blue"},
        ),
        "tenancy.name",
    ),
    "a list from another's container on": (
        _TENANT,
        listed("/containers/json", label=["tenant=blue"], since=["red-web"]),
        "tenancy.name",
    ),
    "two values for the tenant's label": (
        _TENANT, listed("/secrets", label=["tenant=blue", "tenant=red"]), "tenancy.filter",
    ),
    "two values in a map": (
        _TENANT,
        listed("/secrets", label={"tenant=blue": True, "tenant=red": False}),
        "tenancy.filter",
    ),
    "the tenant's label excluded": (
        _TENANT,
        listed("/volumes", **{"label": ["tenant=blue"], "label!": ["tenant=blue"]}),
        "tenancy.filter",
    ),
    "a hostname": (_ALIASES, create(Hostname="db"), "networks.alias"),
    "a reserved label in another case": (
        _RESERVED, create(Labels={"Traefik.Enable": "true"}), "labels.reserved",
    ),
    "a reserved label in a case that came with Unicode 13": (
        {"labels": {"reserved": ["\ua7c7x*"]}}, create(Labels={"\ua7c8X1": ""}), "labels.reserved",
    ),
    "a reserved label by a change": (
        _RESERVED, committed('label x=y TRAEFIK.enable="true"'), "labels.reserved",
    ),
    "a label that a change hides": (
        _RESERVED, committed("ENV A=b\\\nLABEL traefik.enable=true"), "labels.reserved",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _DENIED)
def test_what_has_another_name_is_denied_and_no_lost_field_changes_that(
    make_engine: MakeEngine, case: str
) -> None:
    settings, document, rule = _DENIED[case]
    engine = make_engine(profile="devcontainer", sections=_OPEN, **settings)
    assert rule in {denial.rule for denial in engine.decide(document).denials}
    for place, damaged in without_each_part(document):
        if place[0] == "body":
            continue
        with suppress(EngineError):
            assert not engine.decide(damaged).allow, place


@pytest.mark.parametrize(
    ("settings", "document"),
    [
        (_BRIDGE, join("front")),
        (_BRIDGE, join("ca-fe")),
        ({"networks": {"default_bridge": False, "join": ["cafe"]}}, join("cafe")),
        ({}, join("0" * 64)),
        (_SOME, join("a-net")),
        (_SOME, join("cafe")),
        (_IMAGES, mounted("app:2")),
        (_TENANT, ask("POST", "/containers/blue/start")),
        (_TENANT, ask("POST", "/containers/b-1/start")),
        (_TENANT, ask("GET", "/services/0123456789abcdefghijklmno")),
        (_TENANT, listed("/secrets", label=["tenant=blue", "app=web"])),
        (_TENANT, listed("/containers/json", label={"tenant=blue": True}, before=["b-web"])),
        (_ALIASES, create(Hostname="blue")),
        (_RESERVED, committed("LABEL app=web")),
        ({}, committed("ENV A=b\\\nLABEL traefik.enable=true")),
    ],
)
def test_names_that_are_no_ids_and_texts_that_are_written_out_are_allowed(
    make_engine: MakeEngine, settings: dict[str, Any], document: dict[str, Any]
) -> None:
    engine = make_engine(profile="devcontainer", sections=_OPEN, **settings)
    decision = engine.decide(document)
    assert decision.allow, decision.denials
