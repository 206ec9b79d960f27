"""What a proposal is made of, as a whole: days with withheld things, roles, and hostile names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.journal.own_tools import Tool, agent_of
from authz_plugin.settings import Settings
from authz_plugin.tools.docker_client import Endpoint, Request
from authz_plugin.tools.learning.proposal import Proposal, propose
from authz_plugin.tools.learning.report import to_document, to_text
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.probes import PROBES
from tests.conftest import with_policy
from tests.harness.own_rule import write_own_rule
from tests.tools.learning.days import WARN, create, day, get, message, send


def learned(sandbox: Sandbox, requests: list[Any], *named: str, **options: Any) -> Proposal:
    recordings = day(sandbox, requests, **options)
    return propose(sandbox, lambda: iter(recordings), named)


def allows(sandbox: Sandbox, settings: dict[str, Any], request: Any, user: str = "") -> bool:
    return sandbox.judge(message(request, user), sandbox.configured(settings)).allow


def test_nothing_is_granted_for_the_sake_of_a_request_that_is_withheld(sandbox: Sandbox) -> None:
    requests = [create(Binds=["/srv/evil:/e"], Privileged=True), get("/info")]
    proposal = learned(sandbox, requests)
    assert proposal.settings["operations"] == {"system.info": "allow"}
    assert "allow" not in proposal.settings.get("mounts", {})
    assert (proposal.survey.allowed, proposal.survey.happened) == (1, 2)


def test_what_is_withheld_says_who_asked_and_how_often(sandbox: Sandbox) -> None:
    recordings = day(sandbox, [create(Privileged=True)] * 3) + day(
        sandbox, [create(Privileged=True)], user="alice"
    )
    proposal = propose(sandbox, lambda: iter(recordings), ())
    ((_, change), tally), *others = proposal.survey.withheld.items()
    assert (change.rule, change.value, others) == ("privileged.container", "", [])
    assert (tally.requests, dict(tally.callers)) == (4, {"unknown": 3, "alice": 1})
    assert tally.examples == [r.record["decision_id"] for r in recordings[:3]]


def test_a_link_is_what_it_leads_to(sandbox: Sandbox, tmp_path: Any) -> None:
    (tmp_path / "link").symlink_to("/etc")
    request = create(Binds=[f"{tmp_path}/link:/x"])
    proposal = learned(sandbox, [request])
    assert {change.rule for _, change in proposal.survey.withheld} == {
        "guard.mount", "mounts.protected", "mounts.source",
    }  # fmt: skip
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    proposal = learned(sandbox, [request])
    assert proposal.settings["mounts"]["allow"] == [{"path": f"{tmp_path}/link"}]
    assert allows(sandbox, proposal.settings, request)


@pytest.mark.parametrize(
    "request_",
    [
        create(NetworkMode="*"),
        create(NetworkMode="shop-*"),
        create(NetworkMode="shop[12]"),
        create({"Image": "*"}),
        create({"Image": "registry.local/*"}),
        create(Sysctls={"net.*": "1"}),
        create(StorageOpt={"*": "1"}),
        get("/containers/web/top?ps_args=*"),
        send("/images/create?fromImage=x&tag=*"),
    ],
)
def test_what_a_client_writes_is_never_a_pattern(sandbox: Sandbox, request_: Any) -> None:
    proposal = learned(sandbox, [request_])
    assert proposal.grants == []
    assert len(proposal.survey.not_grantable) == 1
    assert not allows(sandbox, proposal.settings, request_)


def test_many_names_of_one_place_become_the_place(sandbox: Sandbox) -> None:
    requests = [create(Binds=[f"/srv/ci/builds/{i}/src:/s"]) for i in range(30)]
    requests += [create({"Image": f"registry.local/shop/app:{i}"}) for i in range(4)]
    proposal = learned(sandbox, requests)
    assert proposal.settings["mounts"]["allow"] == [{"path": "/srv/ci/builds"}]
    assert proposal.settings["images"]["allow"] == ["alpine:3", "registry.local/shop/app"]
    assert allows(sandbox, proposal.settings, create(Binds=["/srv/ci/builds/99/src:/s"]))
    assert not allows(sandbox, proposal.settings, create(Binds=["/srv/ci/secrets:/s"]))


def test_more_changes_than_one_survey_counts_are_granted_by_the_next(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authz_plugin.tools.learning.survey._MOST", 8)
    requests = [create(Binds=[f"/srv/ci/builds/{i}:/s"]) for i in range(60)]
    proposal = learned(sandbox, requests)
    assert proposal.settings["mounts"]["allow"] == [{"path": "/srv/ci/builds"}]
    assert proposal.survey.allowed == 60
    assert proposal.survey.overflow.requests == 0


def test_what_was_denied_or_has_no_input_is_not_learned_from(sandbox: Sandbox) -> None:
    enforced = {"profile": "production"}
    recordings = day(sandbox, [get("/volumes"), send("/nonsense")], enforced)
    (plain,) = day(sandbox, [get("/networks")])
    recordings += day(sandbox, [get("/info")])
    unrecorded = type(plain)(plain.seq, plain.record, None)
    proposal = propose(sandbox, lambda: iter([*recordings, unrecorded]), ())
    survey = proposal.survey
    assert proposal.settings["operations"] == {"system.info": "allow"}
    assert (survey.denied, survey.refused, survey.unrecorded) == (1, 1, 1)
    assert [rule for rule, _ in survey.not_grantable] == ["request.unknown-operation"]


def own(tool: Tool, request: Request) -> Request:
    """A request as a tool of this project sends it."""
    return Endpoint("", agent=agent_of(tool)).with_agent(request)


def test_nothing_is_proposed_for_what_only_the_own_tools_did(sandbox: Sandbox) -> None:
    requests = [own("doctor", get("/info")), own("validate", create(Privileged=True))]
    recordings = day(sandbox, [*requests, get("/volumes"), own("doctor", get("/images/json"))])
    proposal = propose(sandbox, lambda: iter(recordings), ())
    survey = proposal.survey
    assert proposal.settings["operations"] == {"volume.list": "allow"}
    assert (survey.withheld, survey.allowed, survey.happened) == ({}, 1, 1)
    assert {tool: tally.requests for tool, tally in survey.own_tools.items()} == {
        "doctor": 2, "validate": 1,
    }  # fmt: skip
    text = to_text(proposal)
    assert "#   requests of opa-authz doctor, by their User-Agent (--own-tools" in text
    assert f"2 times, by unknown, e.g. {recordings[0].record['decision_id']}" in text
    (doctor, validate) = to_document(proposal)["own_tools"]
    assert (doctor["tool"], doctor["requests"], validate["tool"]) == ("doctor", 2, "validate")


def test_the_own_tools_are_learned_from_if_that_is_asked_for(sandbox: Sandbox) -> None:
    recordings = day(sandbox, [own("doctor", get("/info"))])
    proposal = propose(sandbox, lambda: iter(recordings), (), own_tools=True)
    assert proposal.settings["operations"] == {"system.info": "allow"}
    assert proposal.survey.own_tools == {}


def test_who_takes_the_name_of_an_own_tool_gets_less_and_never_more(sandbox: Sandbox) -> None:
    requests = [get("/info"), get("/volumes"), create(Binds=["/srv/a:/a"]), create(Privileged=True)]
    honest = learned(sandbox, requests)
    for position, request in enumerate(requests):
        forged = [*requests[:position], own("attack", request), *requests[position + 1 :]]
        settings = learned(sandbox, forged).settings
        allowed = [request for request in requests if allows(sandbox, settings, request)]
        assert all(allows(sandbox, honest.settings, request) for request in allowed)


def test_a_name_that_nothing_asked_for_is_told(sandbox: Sandbox) -> None:
    proposal = learned(sandbox, [get("/info")], "privileged.container", "sections.operation")
    assert proposal.unmet == ["privileged.container"]


def test_a_proposal_is_where_learning_ends(sandbox: Sandbox) -> None:
    requests = [create(Binds=["/srv/a:/a"]), get("/info"), create(CapAdd=["NET_RAW"])]
    first = learned(sandbox, requests)
    again = {**first.settings, "mode": "warn"}
    with open_sandbox(with_policy(**again)) as second:
        assert learned(second, requests).settings == first.settings


def test_every_operation_that_did_not_happen_is_denied(sandbox: Sandbox) -> None:
    happened = {"container.list", "system.info", "system.ping", "system.version"}
    proposal = learned(sandbox, [authz for id_, authz in PROBES.items() if id_ in happened])
    config = sandbox.configured(proposal.settings)
    allowed = {id_ for id_, probe in PROBES.items() if sandbox.judge(message(probe), config).allow}
    assert happened <= OPERATIONS.keys()
    assert allowed - {"system.options"} == happened


ROLES: Final = {
    "profile": "production",
    "mode": "warn",
    "unmatched_callers": "deny",
    "roles": {
        "ci": {"callers": [{"user": "ci-*"}], "profile": "devcontainer", "mode": "warn"},
        "ops": {"callers": [{"user": "ops"}], "mode": "warn"},
    },
    "exceptions": [
        {
            "rule": "capabilities.add",
            "value": "SYS_PTRACE",
            "when": {"role": "ops"},
            "expires": "2099-01-31",
            "reason": "profiling",
        }
    ],
}


@pytest.fixture(scope="module")
def roles() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(**ROLES)) as opened:
        yield opened


def test_each_role_gets_what_it_used(roles: Sandbox) -> None:
    recordings = [
        *day(roles, [create(Binds=["/srv/ci:/s"])], user="ci-1"),
        *day(roles, [get("/volumes"), create(CapAdd=["SYS_PTRACE"])], user="ops"),
    ]
    proposal = propose(roles, lambda: iter(recordings), ())
    settings = proposal.settings
    assert proposal.survey.allowed == 3
    assert settings["roles"]["ci"]["callers"] == [{"user": "ci-*"}]
    assert settings["roles"]["ci"]["profile"] == settings["profile"] == "closed"
    assert settings["roles"]["ci"]["mounts"]["allow"] == [{"path": "/srv/ci"}]
    assert settings["roles"]["ops"]["operations"] == {
        "container.create": "allow", "volume.list": "allow",
    }  # fmt: skip
    assert "operations" not in settings
    assert settings["exceptions"] == ROLES["exceptions"]
    assert settings["unmatched_callers"] == "deny"
    assert allows(roles, settings, create(Binds=["/srv/ci:/s"]), "ci-2")
    assert not allows(roles, settings, create(Binds=["/srv/ci:/s"]), "ops")
    assert not allows(roles, settings, get("/volumes"), "ci-2")
    assert not allows(roles, settings, create(CapAdd=["SYS_PTRACE"]), "ci-2")


def test_a_caller_without_a_role_is_withheld_where_strangers_are(roles: Sandbox) -> None:
    recordings = day(roles, [get("/info")], user="mallory")
    proposal = propose(roles, lambda: iter(recordings), ())
    assert {change.rule for _, change in proposal.survey.withheld} == {"identity.unmatched-caller"}
    assert proposal.settings["unmatched_callers"] == "deny"
    named = propose(roles, lambda: iter(recordings), ["identity.unmatched-caller"])
    assert "unmatched_callers" not in named.settings
    assert named.survey.allowed == 1


def test_rules_of_an_operators_own_have_the_last_word(tmp_path: Any) -> None:
    write_own_rule(tmp_path)
    settings: Settings = with_policy(**WARN, policies=str(tmp_path))
    with open_sandbox(settings) as sandbox:
        proposal = learned(sandbox, [get("/volumes"), get("/system/df")])
    assert proposal.settings["operations"] == {"system.df": "allow"}
    assert [*proposal.survey.not_grantable] == [("custom.own", "not on a Friday")]
