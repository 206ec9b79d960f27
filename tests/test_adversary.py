"""What is denied stays denied, however else it is written: the short form of ``make adversary``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from authz_plugin.decision import Decision, Denial
from authz_plugin.engine import Engine
from tests.adversary import campaign
from tests.adversary.engines import profiles_engine
from tests.adversary.requests import Request, Seed
from tests.adversary.respellings import RESPELLINGS
from tests.adversary.seeds import seeds

PROFILES: Final = ("devcontainer", "restricted")
"""Those whose denials are tried here besides the ledger's own configuration; all by hand."""

SOME: Final = slice(None, None, 5)

BIND: Final = Seed(
    "a bind",
    "mounts.source",
    Request("POST", "/containers/create", body={"HostConfig": {"Binds": ["/etc:/x"]}}),
    Request("POST", "/containers/create", body={"HostConfig": {}}),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with profiles_engine((campaign.LEDGER, *PROFILES)) as started:
        yield started


def test_every_denied_request_of_the_ledger_stays_denied_however_it_is_written(
    engine: Engine,
) -> None:
    result = campaign.run(engine, [campaign.LEDGER], seeds())
    assert result.passed == [], "\n".join(map(str, result.passed))
    assert result.requests > 600
    assert result.same_rule > 12_000
    untried = {"with another boolean", "with the tag elsewhere"}  # for what the ledger allows
    assert set(RESPELLINGS) - set(result.by_respelling) <= untried


@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_profile_denies_it_denies_however_it_is_written(
    engine: Engine, profile: str
) -> None:
    result = campaign.run(engine, [profile], seeds()[SOME])
    assert result.passed == [], "\n".join(map(str, result.passed))
    assert result.requests > 30


class Forgetful:
    """An engine that denies binds and has never heard of what a volume can be."""

    def decide(self, document: Mapping[str, Any], decision_id: str = "") -> Decision:
        del decision_id
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

    def close(self) -> None:
        """Nothing is open."""


def test_a_policy_that_forgets_another_way_to_write_it_is_found() -> None:
    result = campaign.run(Forgetful(), ["any"], [BIND])
    passed = {case.respelling for case in result.passed}
    assert {"as a volume for a bind", "as a mount for a bind", "as a service"} <= passed
    assert "with another spelling of host paths" not in passed


def test_a_respelling_that_has_lost_what_is_denied_counts_for_nothing() -> None:
    privileged = Seed(
        "privileged",
        "privileged.container",
        Request("POST", "/containers/create", body={"HostConfig": {"Privileged": True}}),
        Request("POST", "/containers/create", body={"HostConfig": {}}),
    )
    written = {name for name, _ in campaign.written_otherwise(privileged, twice=False)}
    assert "as an exec" in written
    assert "as a service" not in written, "a service cannot be privileged"
