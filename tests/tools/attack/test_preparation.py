"""Contexts of attacks and their rendering, with and without objects that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from authz_plugin.tools.attack.catalogue import CATALOGUE, select
from authz_plugin.tools.attack.catalogue.builders import CREATE, post
from authz_plugin.tools.attack.created_objects import CreatedObjects
from authz_plugin.tools.attack.model import (
    CatalogueAttack,
    ContainerBody,
    DockerObject,
    ObjectKind,
    RequestTemplate,
)
from authz_plugin.tools.attack.preparation import HarmlessContainer, Preparation, is_local
from authz_plugin.tools.attack.rendering import fill, fill_json, render
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.validation.probes import NOTHING

LOCAL: Final = Endpoint("unix:///none", unix=Path("/none"))
AWAY: Final = Endpoint("tcp://192.0.2.1:2375", address=("192.0.2.1", 2375))
CAREFUL: Final = {
    "Image": "busybox:1",
    "User": "65534",
    "HostConfig": {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges=true"]},
}


def preparation(endpoint: Endpoint = LOCAL, *kept: ObjectKind, **container: Any) -> Preparation:
    """Return one that has sent no request; objects of the kinds ``kept`` cannot be removed."""
    made = Preparation(endpoint, CreatedObjects(endpoint), None, None)
    made._created_objects._removable = {kind: kind not in kept for kind in get_args(ObjectKind)}
    if container:
        made.container = HarmlessContainer(
            **{
                "image": "busybox:1",
                "origin": "found",
                "body": CAREFUL,
                "exists": True,
                **container,
            }
        )
    return made


def body(made: Preparation, message: RequestTemplate) -> Any:
    return json.loads(render(message, made.context_for(row("scenario.privileged"))).body)


def row(id_: str) -> CatalogueAttack:
    (found,) = select([id_])
    return found


def test_changes_come_on_top_of_the_container_that_is_let_through() -> None:
    changes = ContainerBody(
        {"Privileged": True, "SecurityOpt": ["seccomp=unconfined"]}, {"User": "root"}
    )
    assert body(preparation(exists=True), post(CREATE, changes)) == {
        "Image": "busybox:1",
        "User": "root",
        "HostConfig": {
            "CapDrop": ["ALL"],
            "Privileged": True,
            "SecurityOpt": ["no-new-privileges=true", "seccomp=unconfined"],
        },
    }


def test_an_empty_list_takes_the_place_of_one() -> None:
    message = post(CREATE, ContainerBody({"CapDrop": []}))
    assert body(preparation(exists=True), message)["HostConfig"]["CapDrop"] == []


@pytest.mark.parametrize("host", [{}, {"CapDrop": ["ALL"]}])
def test_members_fit_into_written_json(host: dict[str, Any]) -> None:
    made = preparation(body={"Image": "busybox:1", "HostConfig": host})
    message = post(CREATE, '{<top>,"HostConfig":{<host>"Privileged":true}}')
    assert body(made, message)["HostConfig"] == {**host, "Privileged": True}


def test_nobody_has_what_is_named_where_nothing_could_be_made() -> None:
    made = preparation()
    words = made.context_for(row("hidden.form")).placeholders
    assert words["own"] == words["fresh"] == NOTHING
    assert body(made, post(CREATE, ContainerBody()))["Image"] == f"{NOTHING}:none"


def test_containers_that_could_not_be_removed_are_of_nobodys_image() -> None:
    made = preparation(LOCAL, "container", exists=True)
    aim = made.context_for(row("hidden.form"))
    assert aim.creates_nothing
    assert aim.placeholders["fresh"] == NOTHING
    assert body(made, post(CREATE, ContainerBody()))["Image"] == f"{NOTHING}:none"


def test_a_container_is_of_nobodys_image_if_its_volume_could_not_be_removed() -> None:
    made = preparation(LOCAL, "volume", exists=True)
    assert made.context_for(row("mounts.inline-bind")).container["Image"] == f"{NOTHING}:none"
    assert made.context_for(row("scenario.privileged")).container["Image"] == "busybox:1"


@pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: attack.id)
def test_no_other_trouble_is_taken_for_a_success(attack: CatalogueAttack) -> None:
    for kept in ((), get_args(ObjectKind)):
        granted = preparation(LOCAL, *kept, exists=True).context_for(attack).success_errors
        for trouble in ("", "no space left on device", "invalid mount config", "Conflict"):
            assert not (granted and re.search(granted, trouble))


@pytest.mark.parametrize(
    ("kind", "id_"),
    [
        ("volume", "scenario.volume"),
        ("network", "scenario.network"),
        ("image", "scenario.build"),
        ("service", "swarm.bind"),
    ],
)
def test_what_could_not_be_removed_gets_an_impossible_name(kind: ObjectKind, id_: str) -> None:
    assert preparation(LOCAL, kind, exists=True).context_for(row(id_)).placeholders["name"] in {
        "!",
        "!!",
        "",
    }
    assert (
        preparation(LOCAL, exists=True)
        .context_for(row(id_))
        .placeholders["name"]
        .startswith("opa-authz-attack-")
    )


def test_one_thing_that_is_left_is_the_last_of_its_kind() -> None:
    made = preparation(exists=True)
    made._created_objects._failures[DockerObject("network", "x")] = "no"
    assert made.context_for(row("scenario.network")).creates_nothing
    assert not made.context_for(row("scenario.volume")).creates_nothing


def test_a_link_is_planted_on_this_machine_alone() -> None:
    assert "on another machine" in preparation(AWAY).missing_for(row("mounts.folder-link"))
    assert "may not be mounted" in preparation(LOCAL).missing_for(row("mounts.folder-link"))


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.0.2.1", False), ("x", False)],
)
def test_an_address_tells_whether_the_daemon_is_here(address: str, local: bool) -> None:
    assert is_local(Endpoint("", address=(address, 2375))) is local


def test_words_are_filled_in_and_unknown_ones_are_a_defect() -> None:
    words = {"name": "x", "own": "y"}
    assert fill("/<name>/<own>?a<b", words) == "/x/y?a<b"
    assert fill_json({"a": ["<name>", 1], "<own>": True}, words) == {"a": ["x", 1], "<own>": True}
    with pytest.raises(KeyError):
        fill("<nothing>", words)


def test_what_is_filled_into_json_stays_json() -> None:
    made = preparation(exists=True)
    made._folder = Path('/tmp/a"b\\c')
    message = post(CREATE, ContainerBody({"Binds": ["<folder>:/h"]}))
    assert body(made, message)["HostConfig"]["Binds"] == ['/tmp/a"b\\c:/h']
