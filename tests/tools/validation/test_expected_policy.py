"""The policy expected of a configuration, and that the shipped rules enforce it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from authz_plugin import policy
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation import expected_policy
from authz_plugin.tools.validation.attempts import AttemptFactory
from authz_plugin.tools.validation.boundaries import boundaries, container
from authz_plugin.tools.validation.limits import limits
from tests.conftest import with_policy


def config(**changes: Any) -> dict[str, Any]:
    given = with_policy(**{"profile": "production", **changes})
    return policy.configuration(given, LocalHostPaths())


@pytest.mark.parametrize(
    ("sections", "operations", "id_", "allowed"),
    [
        ({"volumes": "none"}, {}, "volume.list", False),
        ({"volumes": "read"}, {}, "volume.list", True),
        ({"volumes": "read"}, {}, "volume.create", False),
        ({"volumes": "write"}, {}, "volume.create", True),
        ({"volumes": "write"}, {"volume.create": "deny"}, "volume.create", False),
        ({"volumes": "none"}, {"volume.create": "allow"}, "volume.create", True),
    ],
)
def test_an_operation_is_open_by_its_name_or_its_section(
    sections: dict[str, str], operations: dict[str, str], id_: str, allowed: bool
) -> None:
    made = config(sections=sections, operations=operations)
    assert expected_policy.allows_operation(made, OPERATIONS[id_]) is allowed


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/srv", True),
        ("/srv/data", True),
        ("/srv2", False),
        ("/srv/../etc", False),
        ("/", False),
        ("/srv/secret", False),
        ("/srv/secret/x", False),
        ("/opt", False),
    ],
)
def test_a_path_may_be_mounted_below_an_allowed_one_and_away_from_denied_ones(
    path: str, allowed: bool
) -> None:
    mounts = {"allow": [{"path": "/srv"}, {"path": "/opt", "read_only": True}]}
    made = config(mounts={**mounts, "deny": ["/srv/secret"]})
    # what holds a denied path is denied with it
    assert expected_policy.allows_bind_mount(made, path) is (allowed and path != "/srv")
    assert expected_policy.allows_bind_mount(made, "/opt", read_only=True)


@pytest.mark.parametrize(
    ("patterns", "text", "matches"),
    [
        (["*"], "anything\nat all", True),
        (["a*c"], "abc", True),
        (["a*c"], "abcd", False),
        (["a.c"], "abc", False),
        ([], "", False),
    ],
)
def test_a_star_stands_for_any_text(patterns: list[str], text: str, matches: bool) -> None:
    assert expected_policy.matches_any(patterns, text) is matches


def test_a_rule_warns_by_its_own_mode_before_the_policys() -> None:
    made = config(mode="warn", rules={"mounts.source": "enforce"})
    assert expected_policy.is_warn_only(made, "privileged.container")
    assert not expected_policy.is_warn_only(made, "mounts.source")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(profile="production")) as opened:
        yield opened


@pytest.mark.parametrize("profile", sorted(set(policy.profiles()) - {"observe"}))
def test_the_shipped_policy_denies_what_a_profile_does_not_permit(
    sandbox: Sandbox, profile: str
) -> None:
    """What the configuration does not permit is denied, by one of the expected rules."""
    made = sandbox.configured({"profile": profile})
    base = container(made)
    for attempt in [*boundaries(made, base), *limits(made, AttemptFactory(base))]:
        if attempt.permitted:
            continue
        judgement = sandbox.judge(authz_message(attempt.request, Client()), made)
        assert not judgement.allow, attempt.id
        rules = {denial.rule for denial in judgement.record.denials}
        assert any(
            rule == wanted or (wanted.endswith(".") and rule.startswith(wanted))
            for rule in rules
            for wanted in attempt.rules
        ), (attempt.id, rules)


def test_a_compliant_container_is_allowed_if_containers_are(sandbox: Sandbox) -> None:
    """Otherwise attempts would be denied for another reason than their change."""
    for profile in policy.profiles():
        made = sandbox.configured({"profile": profile})
        if expected_policy.allows_operation(made, OPERATIONS["container.create"]):
            request = Request.of_json("POST", "/containers/create", container(made))
            judgement = sandbox.judge(authz_message(request, Client()), made)
            assert judgement.allow, (profile, judgement.message)
