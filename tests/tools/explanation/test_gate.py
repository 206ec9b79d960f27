"""What explain proposes is marked with its dangers, and the dangerous is withheld as in learn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from authz_plugin.tools.config_changes.gate import Gate
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation.candidates import Change, candidates
from authz_plugin.tools.explanation.changes import smallest_change
from authz_plugin.tools.explanation.marks import Marker
from authz_plugin.tools.explanation.report import change_document, change_lines
from authz_plugin.tools.learning.proposal import propose
from authz_plugin.tools.learning.report import to_document
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.harness.own_rule import write_own_rule
from tests.tools.learning.days import create, day, get, message, send
from tests.tools.learning.test_proposal import DANGERS, DEMANDING, DEMANDS, GRANTS

OPEN_IN_PRODUCTION: Final = {"an image by its id"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(profile="production")) as opened:
        yield opened


@pytest.fixture(scope="module")
def demanding() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(**{**DEMANDING, "mode": "enforce"})) as opened:
        yield opened


@pytest.fixture(scope="module")
def closed() -> Iterator[Sandbox]:
    """Containers may be made, of no image and with nothing."""
    lists: dict[str, Any] = {
        "networks": {"join": [], "default_bridge": False},
        "images": {"allow": []},
        "sysctls": {"allow": []},
        "tenancy": {"names": ["shop-*"]},
    }
    operations = {"container.create": "allow", "container.top": "allow", "image.pull": "allow"}
    with open_sandbox(with_policy(profile="closed", operations=operations, **lists)) as opened:
        yield opened


def changes_for(sandbox: Sandbox, request: Request) -> list[Change]:
    changes = smallest_change(sandbox, [message(request)])
    assert changes is not None
    return changes


def shown(changes: list[Change], *named: str) -> dict[str, Any]:
    document = change_document(changes, Gate(named))
    assert document is not None
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def to_be_named(document: dict[str, Any]) -> set[str]:
    return {withheld["grant"] for withheld in document["withheld"]}


@pytest.mark.parametrize("case", [case for case in DANGERS if case not in OPEN_IN_PRODUCTION])
def test_what_learn_withholds_explain_withholds_until_it_is_named(
    sandbox: Sandbox, case: str
) -> None:
    request, names = DANGERS[case]
    changes = changes_for(sandbox, request)
    document = shown(changes)
    assert to_be_named(document) == names
    assert all(withheld["means"] for withheld in document["withheld"])
    assert (document["settings"], document["words"], document["grants"]) == ({}, [], [])
    granted = shown(changes, *names)
    assert granted["withheld"] == []
    assert granted["settings"]
    assert {rule for grant in granted["grants"] for rule in grant["rules"]} >= {
        name.partition("=")[0] for name in names
    }


@pytest.mark.parametrize("case", DEMANDS)
def test_a_demand_is_dropped_only_once_it_is_named(demanding: Sandbox, case: str) -> None:
    request, name = DEMANDS[case]
    changes = changes_for(demanding, request)
    assert to_be_named(shown(changes)) == {name}
    assert shown(changes, name)["settings"]


def test_what_learn_grants_is_shown_without_a_name(sandbox: Sandbox) -> None:
    for case, (request, *_) in GRANTS.items():
        assert shown(changes_for(sandbox, request))["withheld"] == [], case


def test_one_name_of_several_shows_nothing_of_the_request(sandbox: Sandbox) -> None:
    request = create(CapAdd=["SYS_ADMIN"], PidMode="host", Links=["db:db"])
    document = shown(changes_for(sandbox, request), "capabilities.add")
    assert to_be_named(document) == {"namespaces.host=pid:host"}
    assert document["settings"] == {}


def test_a_change_has_the_dangers_of_all_denials_that_it_removes(sandbox: Sandbox) -> None:
    env = {"Env": ["NVIDIA_VISIBLE_DEVICES=all"]}
    changes = changes_for(sandbox, create(env, DeviceRequests=[{"Count": -1}]))
    assert [change.key for change in changes] == [("devices", "requests")]
    assert to_be_named(shown(changes)) == {"devices.request", "devices.environment"}


def test_a_danger_of_two_changes_is_named_once(sandbox: Sandbox) -> None:
    binds = ["/home/alice:/a", "/home/alice:/b:ro"]
    withheld = shown(changes_for(sandbox, create(Binds=binds)))["withheld"]
    assert [entry["grant"] for entry in withheld] == ["mounts.source=/home/alice"]


def test_a_danger_is_withheld_and_granted_in_the_form_of_learn(sandbox: Sandbox) -> None:
    request = create(CapAdd=["SYS_ADMIN"])
    counts = {"requests", "callers", "examples"}
    with open_sandbox(with_policy(profile="production", mode="warn")) as warning:
        recordings = day(warning, [request])
        learned = to_document(propose(warning, lambda: iter(recordings), ()))
        (withheld,) = learned["withheld"]
        named = to_document(propose(warning, lambda: iter(recordings), [withheld["grant"]]))
    (grant,) = [grant for grant in named["grants"] if grant["key"] == "capabilities.allow"]
    changes = changes_for(sandbox, request)
    assert shown(changes)["withheld"] == [without(withheld, counts)]
    assert shown(changes, withheld["grant"])["grants"] == [without(grant, counts)]


def without(document: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def test_a_text_names_what_is_withheld_and_marks_what_is_granted(sandbox: Sandbox) -> None:
    changes = changes_for(sandbox, create(Binds=["/home/x; $(reboot):/x"]))
    name = "mounts.source=/home/x; $(reboot)"
    withheld = [text for _, text in change_lines(changes, "this", Gate(()))]
    assert f"    --grant '{name}'" in withheld
    assert not any("mounts.allow" in line for line in withheld)
    granted = [text for _, text in change_lines(changes, "this", Gate([name]))]
    position = granted.index("    - adds path /home/x; $(reboot) to mounts.allow")
    assert granted[position + 1].startswith("      named with --grant: all that a user of the host")


def test_an_exception_is_as_dangerous_as_what_it_allows(sandbox: Sandbox) -> None:
    request = create(Binds=["/run/docker.sock:/s"])
    document = shown(changes_for(sandbox, request), "mounts.source", "mounts.protected")
    (exception,) = [grant for grant in document["grants"] if grant["key"] == "exceptions"]
    assert exception["value"]["rule"] == "mounts.protected"
    assert exception["means"] == ["no longer protects /run/docker.sock: root on the host"]


def test_an_exception_from_host_is_for_one_namespace_of_the_host(sandbox: Sandbox) -> None:
    judgement = sandbox.judge(message(create(PidMode="host")))
    (denial,) = judgement.record.denials
    assert judgement.document is not None
    rule = sandbox.rules[denial.rule]
    marker = Marker(denial, rule, judgement.document, sandbox.config, sandbox.config)
    found = candidates(judgement, denial, rule, marker, sandbox.config)
    exceptions = [change.entry for (change,) in found if change.key == ("exceptions",)]
    assert {(entry["value"], entry["field"]) for entry in exceptions} == {
        ("host", "HostConfig.PidMode")
    }


def test_what_a_rule_does_not_state_may_allow_more(demanding: Sandbox) -> None:
    request = DEMANDS["few restarts"][0]
    command = json.loads(request.body) | {"Cmd": ["sshd"], "HostConfig": host_without(request)}
    asked = Request.of_json("POST", request.target, command)
    changes = changes_for(demanding, asked)
    (withheld,) = shown(changes)["withheld"]
    assert withheld["grant"] == "containers.command"
    (grant,) = shown(changes, "containers.command")["grants"]
    assert (grant["key"], grant["value"], grant["taken_out"]) == (
        "containers.deny_commands", "*sshd", True,
    )  # fmt: skip


def host_without(request: Request) -> dict[str, Any]:
    host: dict[str, Any] = json.loads(request.body)["HostConfig"]
    return without(host, {"RestartPolicy"})


def test_a_rule_that_only_warns_has_to_be_named_as_a_whole(tmp_path: Any) -> None:
    write_own_rule(tmp_path)
    with open_sandbox(with_policy(profile="production", policies=str(tmp_path))) as opened:
        changes = changes_for(opened, get("/info"))
    assert to_be_named(shown(changes)) == {"custom.own"}
    assert shown(changes, "custom.own=x")["settings"] == {}
    assert shown(changes, "custom.own")["settings"] == {"rules": {"custom.own": "warn"}}


@pytest.mark.parametrize(
    "request_",
    [
        create(NetworkMode="*"),
        create(NetworkMode="shop-*"),
        create(NetworkMode="shop[12]"),
        create(Sysctls={"net.*": "1"}),
        create(SecurityOpt=["label=*"]),
        create({"Labels": {"*": "*"}}, "?name=*"),
        get("/containers/web/top?ps_args=*"),
        send("/images/create?fromImage=x&tag=*"),
    ],
)
def test_no_pattern_of_a_client_is_proposed_as_an_entry(closed: Sandbox, request_: Request) -> None:
    given = texts(closed.settings.policy)
    for change in smallest_change(closed, [message(request_)]) or ():
        if change.key != ("exceptions",):
            assert not {text for text in texts(change.value) if "*" in text} - given, change


def texts(value: Any) -> set[str]:
    """Every text in a JSON value, names of keys included."""
    if isinstance(value, dict):
        return set(value).union(*map(texts, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(texts, value))
    return {value} if isinstance(value, str) else set()
