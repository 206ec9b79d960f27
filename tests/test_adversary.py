"""Denied requests are denied in every equivalent form: the short form of ``make adversary``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from authz_plugin.decision import Decision, Denial
from tests.adversary import campaign
from tests.adversary.campaign import Engine
from tests.adversary.engines import profiles_engine
from tests.adversary.requests import Request, Seed
from tests.adversary.respellings import RESPELLINGS
from tests.adversary.seeds import seeds

PROFILES: Final = ("devcontainer", "restricted")
"""The profiles that are tested here; ``make adversary`` tests all."""

EVERY_FIFTH: Final = slice(None, None, 5)

BIND: Final = Seed(
    "a bind",
    "mounts.source",
    Request("POST", "/containers/create", body={"HostConfig": {"Binds": ["/etc:/x"]}}),
    Request("POST", "/containers/create", body={"HostConfig": {}}),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with profiles_engine((campaign.LEDGER, *PROFILES)) as made:
        yield made


def test_every_respelling_of_the_ledgers_denied_requests_is_denied(
    engine: Engine,
) -> None:
    result = campaign.run(engine, [campaign.LEDGER], seeds(bare_every=5))
    assert result.not_denied == [], "\n".join(map(str, result.not_denied))
    assert result.requests > 550
    assert result.same_rule > 10_000
    untried = {"with another boolean", "with the tag elsewhere"}  # for what the ledger allows
    assert set(RESPELLINGS) - set(result.by_respelling) <= untried


@pytest.mark.parametrize("profile", PROFILES)
def test_every_respelling_of_a_request_that_a_profile_denies_is_denied(
    engine: Engine, profile: str
) -> None:
    result = campaign.run(engine, [profile], seeds()[EVERY_FIFTH])
    assert result.not_denied == [], "\n".join(map(str, result.not_denied))
    assert result.requests > 30


class IncompleteEngine:
    """An engine that denies binds and does not deny mounts and volumes."""

    def decide_each(self, documents: Sequence[dict[str, Any]]) -> list[Decision | None]:
        return [self._decide(document) for document in documents]

    def _decide(self, document: dict[str, Any]) -> Decision:
        reaches = any(mount["field"].endswith("Binds[0]") for mount in document["mounts"])
        denials = (Denial("mounts.source", "", None, "", ""),) if reaches else ()
        return Decision(
            allow=not denials,
            denials=denials,
            warnings=(),
            evaluated=frozenset(),
            profile="",
            role="",
            policy_revision="",
            repeatable=True,
        )


def test_a_policy_that_does_not_deny_a_respelling_is_found() -> None:
    result = campaign.run(IncompleteEngine(), ["any"], [BIND])
    not_denied = {case.respelling for case in result.not_denied}
    assert {"as a volume for a bind", "as a mount for a bind", "as a service"} <= not_denied
    assert "with another spelling of host paths" not in not_denied


def test_a_respelling_without_the_denied_field_is_left_out() -> None:
    privileged = Seed(
        "privileged",
        "privileged.container",
        Request("POST", "/containers/create", body={"HostConfig": {"Privileged": True}}),
        Request("POST", "/containers/create", body={"HostConfig": {}}),
    )
    written = {name for name, _ in campaign.respelled(privileged, twice=False)}
    assert "as an exec" in written
    assert "as a service" not in written, "a service cannot be privileged"
