"""A sandbox decides as the plugin does, with a real OPA, and can be told other configurations."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy, settings
from authz_plugin.decision import Decision
from authz_plugin.errors import PolicyError, SettingsError, SetupError
from authz_plugin.settings import Key
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import BatchDecider, Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.harness.own_rule import write_own_rule

PRIVILEGED = Request.of_json(
    "POST", "/containers/create", {"Image": "a", "HostConfig": {"Privileged": True}}
)


def message(request: Request = PRIVILEGED, user: str = "") -> bytes:
    return authz_message(request, Client(user))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    role = {"callers": [{"user": "root"}], "privileged": {"allow": True}}
    with open_sandbox(with_policy(profile="production", roles={"boss": role})) as opened:
        yield opened


def test_it_denies_with_the_rule_and_shows_what_the_policies_saw(sandbox: Sandbox) -> None:
    judgement = sandbox.judge(message())
    assert not judgement.allow
    assert [denial.rule for denial in judgement.record.denials] == ["privileged.container"]
    assert "[privileged.container HostConfig.Privileged]" in judgement.message
    assert judgement.document is not None
    assert judgement.document["body"]["HostConfig"]["Privileged"] is True


def test_a_request_that_is_refused_has_no_document(sandbox: Sandbox) -> None:
    judgement = sandbox.judge(b"")
    assert not judgement.allow
    assert judgement.document is None


def test_another_configuration_counts_for_one_question_only(sandbox: Sandbox) -> None:
    config = sandbox.configured({"profile": "production", "privileged": {"allow": True}})
    assert sandbox.judge(message(), config).allow
    assert not sandbox.judge(message()).allow


def test_the_same_changes_are_completed_or_refused_the_same_each_time(sandbox: Sandbox) -> None:
    opened = {"profile": "production", "privileged": {"allow": True}}
    for _ in range(2):
        assert sandbox.configured(opened)["privileged"]["allow"] is True
        assert sandbox.configured({"profile": "production"})["privileged"]["allow"] is False
        with pytest.raises(SettingsError, match="no such key"):
            sandbox.configured({"sections": {"volume": "read"}})


def test_the_configuration_for_a_caller_is_that_of_the_callers_role(sandbox: Sandbox) -> None:
    nobody, boss = sandbox.judge(message()).document, sandbox.judge(message(user="root")).document
    assert nobody is not None
    assert boss is not None
    assert sandbox.config_for(nobody)["privileged"]["allow"] is False
    assert sandbox.config_for(boss)["privileged"]["allow"] is True


def documents(sandbox: Sandbox, *requests: tuple[Request, str]) -> list[Mapping[str, Any]]:
    found = [sandbox.read(message(request, user))[1] for request, user in requests]
    return [document for document in found if document is not None]


def test_many_documents_are_decided_as_each_alone(sandbox: Sandbox) -> None:
    asked = [(PRIVILEGED, ""), (PRIVILEGED, "root"), (Request("GET", "/info"), "")] * 40
    decisions = sandbox.decide(documents(sandbox, *asked))
    assert [decision.role for decision in decisions] == ["", "boss", ""] * 40
    for (request, user), decision in zip(asked[:3], decisions, strict=False):
        judgement = sandbox.judge(message(request, user))
        assert decision.allow is judgement.allow
        assert [d.rule for d in decision.denials] == [
            denial.rule for denial in judgement.record.denials
        ]


def test_a_document_without_a_decision_is_denied_and_the_others_are_decided(
    sandbox: Sandbox,
) -> None:
    lost = {"callers": [{"user": "ci"}]}
    config = {**sandbox.config, "roles": {"ci": lost}, "role_order": ["ci"]}
    asked = documents(sandbox, (PRIVILEGED, ""), (Request("GET", "/info"), "ci"), (PRIVILEGED, ""))
    decisions = sandbox.decide(asked, config)
    rules = [[denial.rule for denial in decision.denials] for decision in decisions]
    others = ["privileged.container", "mounts.unreadable"]  # nobody knows the role's roots
    assert rules == [others, ["request.engine"], others]


def test_reading_gives_the_document_or_says_why_there_is_none(sandbox: Sandbox) -> None:
    record, document = sandbox.read(message())
    judged = sandbox.judge(message()).document
    assert document is not None
    assert judged is not None
    assert {**document, "time": ""} == {**judged, "time": ""}
    assert record.operation == "container.create"
    record, document = sandbox.read(message(Request("GET", "/nonsense")))
    assert document is None
    assert [denial.rule for denial in record.denials] == ["request.unknown-operation"]


def test_documents_that_differ_only_in_time_are_decided_once(sandbox: Sandbox) -> None:
    made: list[Mapping[str, Any]] = []

    def make(document: Mapping[str, Any], decision: Decision) -> bool:
        made.append(document)
        return decision.allow

    decider = BatchDecider(sandbox, sandbox.config, make)
    (first,) = documents(sandbox, (PRIVILEGED, ""))
    (other,) = documents(sandbox, (PRIVILEGED, "root"))
    later = {**first, "time": "2027-01-01T00:00:00.000+00:00"}
    allowed = decider.decide([first, other, later]) + decider.decide([later, other])
    assert allowed == [False, True, False, False, True]
    assert len(made) == 2


def test_a_document_that_left_the_cache_is_decided_again(sandbox: Sandbox) -> None:
    made: list[Mapping[str, Any]] = []
    decider = BatchDecider(
        sandbox, sandbox.config, lambda document, _: made.append(document), cache_size=1
    )
    asked = documents(sandbox, (PRIVILEGED, ""), (PRIVILEGED, "root"))
    for _ in range(2):
        assert len(decider.decide(asked)) == 2
    assert len(made) == 3


def edited(tmp_path: Path, change: tuple[str, str]) -> Path:
    """A copy of the shipped policies in which one text of the privileged rule is another."""
    folder = tmp_path / "policies"
    shutil.copytree(policy.SHIPPED, folder)
    rule = folder / policy.ROOT / "rules/privileged/privileged.rego"
    assert change[0] in rule.read_text()
    rule.write_text(rule.read_text().replace(*change))
    return folder


def test_edited_policies_decide_in_place_of_the_shipped_ones(tmp_path: Path) -> None:
    folder = edited(tmp_path, ("Privileged == false", "Privileged in {true, false}"))
    with open_sandbox(with_policy(profile="production"), folder) as opened:
        judged = opened.judge(message())
        assert judged.allow
        assert opened.sources == [folder / policy.ROOT]
        assert judged.record.policy_revision == opened.bundle.revision
    with open_sandbox(with_policy(profile="production")) as shipped:
        assert opened.bundle.revision != shipped.bundle.revision


def test_a_folder_without_policies_is_an_error(tmp_path: Path) -> None:
    (tmp_path / policy.ROOT).mkdir(parents=True)
    with (
        pytest.raises(PolicyError, match="holds no policies"),
        open_sandbox(with_policy(profile="production"), tmp_path),
    ):
        pass


def test_edited_policies_that_do_not_compile_are_an_error(tmp_path: Path) -> None:
    folder = edited(tmp_path, ("Privileged == false", "Privileged == nothing"))
    with (
        pytest.raises(PolicyError, match=r"privileged\.rego"),
        open_sandbox(with_policy(profile="production"), folder),
    ):
        pass


def test_a_folder_of_own_rules_is_tried_beside_the_shipped_ones(tmp_path: Path) -> None:
    write_own_rule(tmp_path)
    with open_sandbox(with_policy(profile="production"), tmp_path) as opened:
        judgement = opened.judge(message(Request("GET", "/_ping")))
    assert [denial.rule for denial in judgement.record.denials] == ["custom.own"]


def test_an_opa_of_the_operators_needs_to_be_told_the_settings() -> None:
    flags: dict[Key, str] = {("config",): "/dev/null", ("opa", "url"): "unix:/run/opa.sock"}
    loaded = settings.load(flags, {}, policy.config_schema())
    with pytest.raises(SetupError, match="name what the bundle was made of"), open_sandbox(loaded):
        pass
