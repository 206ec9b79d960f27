"""How rows are filled in, with and without anything real to stand on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from authz_plugin.tools.attack.catalogue import CATALOGUE, chosen
from authz_plugin.tools.attack.catalogue.shorthand import CREATE, post
from authz_plugin.tools.attack.row import Attack, Container, Kind, Message, Thing
from authz_plugin.tools.attack.staging import Staging, Stand, fill, filled, is_local, render
from authz_plugin.tools.attack.traces import Traces
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.validation.probes import NOTHING

LOCAL: Final = Endpoint("unix:///none", unix=Path("/none"))
AWAY: Final = Endpoint("tcp://192.0.2.1:2375", address=("192.0.2.1", 2375))
CAREFUL: Final = {
    "Image": "busybox:1",
    "User": "65534",
    "HostConfig": {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges=true"]},
}


def staging(endpoint: Endpoint = LOCAL, *kept: Kind, **stand: Any) -> Staging:
    """One that has reached nobody; of the kinds ``kept`` nothing could be removed again."""
    made = Staging(endpoint, Traces(endpoint), None, None)
    made._traces._removable = {kind: kind not in kept for kind in get_args(Kind)}
    if stand:
        made.stand = Stand(
            **{"image": "busybox:1", "origin": "found", "body": CAREFUL, "real": True, **stand}
        )
    return made


def body(made: Staging, message: Message) -> Any:
    return json.loads(render(message, made.aim(row("scenario.privileged"))).body)


def row(id_: str) -> Attack:
    (found,) = chosen([id_])
    return found


def test_changes_come_on_top_of_the_container_that_is_let_through() -> None:
    changes = Container(
        {"Privileged": True, "SecurityOpt": ["seccomp=unconfined"]}, {"User": "root"}
    )
    assert body(staging(real=True), post(CREATE, changes)) == {
        "Image": "busybox:1",
        "User": "root",
        "HostConfig": {
            "CapDrop": ["ALL"],
            "Privileged": True,
            "SecurityOpt": ["no-new-privileges=true", "seccomp=unconfined"],
        },
    }


def test_an_empty_list_takes_the_place_of_one() -> None:
    message = post(CREATE, Container({"CapDrop": []}))
    assert body(staging(real=True), message)["HostConfig"]["CapDrop"] == []


@pytest.mark.parametrize("host", [{}, {"CapDrop": ["ALL"]}])
def test_members_fit_into_written_json(host: dict[str, Any]) -> None:
    made = staging(body={"Image": "busybox:1", "HostConfig": host})
    message = post(CREATE, '{<top>,"HostConfig":{<host>"Privileged":true}}')
    assert body(made, message)["HostConfig"] == {**host, "Privileged": True}


def test_nobody_has_what_is_named_where_nothing_could_be_made() -> None:
    made = staging()
    words = made.aim(row("hidden.form")).words
    assert words["own"] == words["fresh"] == NOTHING
    assert body(made, post(CREATE, Container()))["Image"] == f"{NOTHING}:none"


def test_containers_that_could_not_be_removed_are_of_nobodys_image() -> None:
    made = staging(LOCAL, "container", real=True)
    aim = made.aim(row("hidden.form"))
    assert aim.vain
    assert aim.words["fresh"] == NOTHING
    assert body(made, post(CREATE, Container()))["Image"] == f"{NOTHING}:none"


def test_a_container_is_of_nobodys_image_if_its_volume_could_not_be_removed() -> None:
    made = staging(LOCAL, "volume", real=True)
    assert made.aim(row("mounts.inline-bind")).body["Image"] == f"{NOTHING}:none"
    assert made.aim(row("scenario.privileged")).body["Image"] == "busybox:1"


@pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: attack.id)
def test_no_other_trouble_is_taken_for_a_success(attack: Attack) -> None:
    for kept in ((), get_args(Kind)):
        granted = staging(LOCAL, *kept, real=True).aim(attack).granted
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
def test_what_could_not_be_removed_gets_an_impossible_name(kind: Kind, id_: str) -> None:
    assert staging(LOCAL, kind, real=True).aim(row(id_)).words["name"] in {"!", "!!", ""}
    assert staging(LOCAL, real=True).aim(row(id_)).words["name"].startswith("opa-authz-attack-")


def test_one_thing_that_is_left_is_the_last_of_its_kind() -> None:
    made = staging(real=True)
    made._traces._things[Thing("network", "x")] = "no"
    assert made.aim(row("scenario.network")).vain
    assert not made.aim(row("scenario.volume")).vain


def test_a_link_is_planted_on_this_machine_alone() -> None:
    assert "on another machine" in staging(AWAY).lacks(row("mounts.folder-link"))
    assert "may not be mounted" in staging(LOCAL).lacks(row("mounts.folder-link"))


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.0.2.1", False), ("x", False)],
)
def test_an_address_tells_whether_the_daemon_is_here(address: str, local: bool) -> None:
    assert is_local(Endpoint("", address=(address, 2375))) is local


def test_words_are_filled_in_and_unknown_ones_are_a_defect() -> None:
    words = {"name": "x", "own": "y"}
    assert fill("/<name>/<own>?a<b", words) == "/x/y?a<b"
    assert filled({"a": ["<name>", 1], "<own>": True}, words) == {"a": ["x", 1], "<own>": True}
    with pytest.raises(KeyError):
        fill("<nothing>", words)


def test_what_is_filled_into_json_stays_json() -> None:
    made = staging(real=True)
    made._folder = Path('/tmp/a"b\\c')
    message = post(CREATE, Container({"Binds": ["<folder>:/h"]}))
    assert body(made, message)["HostConfig"]["Binds"] == ['/tmp/a"b\\c:/h']
