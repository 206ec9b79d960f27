"""A policy is opened once, and again when it changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_plugin.errors import SetupError
from authz_plugin.settings import Settings
from authz_plugin.tools.console.policies import Policies
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import Sandbox
from tests.conftest import with_policy
from tests.harness.own_rule import write_own_rule
from tests.tools.learning.days import create, message


@pytest.fixture
def policies() -> Iterator[Policies]:
    made = Policies()
    yield made
    made.close()


def opened(policies: Policies, settings: Settings) -> Sandbox:
    with policies.of(settings) as (sandbox, _):
        return sandbox


def test_the_same_settings_have_the_same_policy(policies: Policies) -> None:
    first = opened(policies, with_policy(profile="production"))
    assert opened(policies, with_policy(profile="production")) is first


def test_other_settings_have_another_policy_and_the_former_serves_its_users(
    policies: Policies,
) -> None:
    with policies.of(with_policy(profile="production")) as (former, _):
        with policies.of(with_policy(profile="closed")) as (other, _):
            assert other is not former
            assert not other.judge(message(create())).allow
        assert former.judge(message(create())).allow
    assert not former.bundle.folder.exists()


def test_a_changed_rule_of_the_operator_is_seen(policies: Policies, tmp_path: Path) -> None:
    settings = with_policy(profile="production", policies=str(tmp_path))
    ping = message(Request("GET", "/_ping"))
    assert opened(policies, settings).judge(ping).allow
    write_own_rule(tmp_path)
    judgement = opened(policies, settings).judge(ping)
    assert [denial.rule for denial in judgement.record.denials] == ["custom.own"]


def test_a_policy_that_cannot_be_opened_leaves_the_former_one_open(policies: Policies) -> None:
    first = opened(policies, with_policy(profile="production"))
    missing = with_policy(profile="production", policies="/no/such/folder")
    with pytest.raises(SetupError):
        opened(policies, missing)
    assert opened(policies, with_policy(profile="production")) is first
