"""Endurance in short; ``make soak`` is the hour of it."""

from __future__ import annotations

import pytest

from tests.harness.engines import NEWEST
from tests.soak.__main__ import soak


@pytest.mark.parametrize(("decides", "kills"), [("embedded", 0), ("opa", 4)])
def test_no_answer_is_wrong_while_the_policy_changes_and_opa_dies(decides: str, kills: int) -> None:
    """On the newest engine alone: the load is on the plugin, which is the same with every one."""
    report = soak(seconds=12, rate=60, every=2.4, engine=NEWEST, decides=decides)
    assert report.wrong == []
    assert report.outcomes["allowed"] > 100
    assert report.outcomes["denied"] > 60
    assert report.outcomes.get("failed", 0) == 0
    assert report.reloads in {4, 5}  # the last one is left out if a reload takes seconds
    assert report.kills in ({0} if kills == 0 else {kills - 1, kills})
    assert report.slowest < 10
    assert abs(report.last.descriptors - report.first.descriptors) < 20
