"""The arithmetic of a fleet's load, against a simulation and against real OPAs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet_scale.arithmetic import Cost, Polling, Rounds, load, quantile
from tests.fleet_scale.uploads import measured_uploads

POLLING = Polling(15, 30)


@pytest.mark.parametrize("share", [0.001, 0.3, 2 / 3, 0.667, 0.9, 0.999])
def test_the_seconds_of_a_share_are_the_inverse_of_the_share(share: float) -> None:
    assert POLLING.share_within(POLLING.seconds_until(share)) == pytest.approx(share)


def test_before_a_push_no_host_has_polled_and_after_the_longest_delay_every_host_has() -> None:
    assert (POLLING.share_within(0), POLLING.share_within(30)) == (0, 1)
    assert POLLING.seconds_until(1) == 30


@pytest.mark.parametrize("hosts", [500, 10_000])
def test_simulated_hosts_get_a_push_when_the_arithmetic_says(hosts: int) -> None:
    waits = POLLING.simulated(hosts, seed=17)
    assert len(waits) == hosts
    for share in (0.25, 0.5, 0.75, 0.9, 0.99):
        assert quantile(waits, share) == pytest.approx(POLLING.seconds_until(share), abs=1.5)
    unlikely, likely = POLLING.last_of(hosts, 0.001), POLLING.last_of(hosts, 0.999)
    assert unlikely <= waits[-1] <= likely <= 30


def test_the_load_grows_with_the_hosts_alone() -> None:
    cost = Cost(requests=2, sent=100, changed_sent=5000, processor=0.001)
    one, many = load(1, POLLING, cost), load(450, POLLING, cost)
    assert many.polls_a_second == 20
    assert many.requests_a_second == 40
    assert many.bytes_a_day == 20 * 100 * 86_400
    assert many.bytes_of_a_push == 450 * 5000
    assert many.processors == pytest.approx(0.02)
    assert many.polls_a_second == pytest.approx(450 * one.polls_a_second)


def test_of_rare_events_each_makes_an_upload_and_frequent_ones_share_one() -> None:
    rare, frequent = (Rounds(POLLING, rate, has_status=False) for rate in (1e-6, 5))
    assert rare.uploads(1000) == pytest.approx(1000 * 1e-6, rel=0.001)
    assert frequent.uploads(1000) == pytest.approx(1000 / POLLING.mean)


@pytest.mark.parametrize("has_status", [False, True])
@pytest.mark.parametrize("rate", [0.01, 1])
def test_simulated_hosts_upload_as_often_as_the_arithmetic_says(
    rate: float, has_status: bool
) -> None:
    rounds = Rounds(POLLING, rate, has_status)
    each = rounds.simulated(500, seconds=100, seed=17)
    expected = rounds.uploads(500) + rounds.reports(500)
    assert sum(each) / len(each) == pytest.approx(expected, rel=0.1)
    assert expected < max(each) < expected + 6 * expected**0.5 * (1 + has_status)


def test_five_real_hosts_poll_as_often_and_get_a_push_as_fast_as_the_arithmetic_says() -> None:
    options = "--service nginx --hosts 5 --interval 2 --seconds 6 --pushes 1 --runs 1 --json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.fleet_scale", *options.split()],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=True,
    )
    [found] = json.loads(done.stdout)
    polling = Polling(1, 2)
    assert found["polls"] == pytest.approx(found["seconds"] * 5 / polling.mean, rel=0.35)
    assert found["cost"]["changed_sent"] > 3 * found["cost"]["sent"] > 0
    [waits] = found["waits"]
    assert len(waits) == 5
    assert waits[-1] <= polling.most + 1


def test_two_real_hosts_upload_as_often_as_the_arithmetic_says_and_lose_nothing(
    tmp_path: Path,
) -> None:
    found = measured_uploads(tmp_path, hosts=2, interval=2, seconds=4, rate=4, has_status=True)
    assert (found.made, found.lost, found.twice) == (2 * 4 * (2 + 4), 0, 0)
    assert found.uploads == pytest.approx(4 * found.rounds.uploads(2), abs=3)
    assert found.reports == pytest.approx(4 * found.rounds.reports(2), abs=6)
    assert found.report_bytes / found.reports > 10 * found.decision_bytes > 0
    assert found.processor > 0
