"""What many hosts ask of a service, and how fast a push reaches them.

OPA waits between two polls for a time that it draws evenly from ``[least, most]``. The polls of a
host are a renewal process, and a push comes at any time in it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Polling:
    """The seconds between two polls, at least and at most; ``least`` is smaller."""

    least: float
    most: float

    @property
    def mean(self) -> float:
        return (self.least + self.most) / 2

    def share_within(self, seconds: float) -> float:
        """The share of hosts that have polled so many seconds after a push, or the probability that
        one has: the distribution of the forward recurrence time."""
        if seconds <= 0:
            return 0.0
        if seconds >= self.most:
            return 1.0
        if seconds <= self.least:
            return seconds / self.mean
        spread = self.most - self.least
        late = (spread**2 - (self.most - seconds) ** 2) / (2 * spread)
        return (self.least + late) / self.mean

    def seconds_until(self, share: float) -> float:
        """The inverse of ``share_within``."""
        if share <= self.least / self.mean:
            return share * self.mean
        spread = self.most - self.least
        late = share * self.mean - self.least
        return self.most - math.sqrt(max(spread**2 - 2 * spread * late, 0))

    def last_of(self, hosts: int, probability: float = 0.5) -> float:
        """The seconds after a push in which the last of the hosts has polled, with a probability;
        they poll independently of each other."""
        return self.seconds_until(probability ** (1 / hosts))

    def share_with(self, rate: float) -> float:
        """The share of delays in which something happens that comes ``rate`` times a second, at
        times that are independent of each other."""
        spread = rate * (self.most - self.least)
        return 1 - (math.exp(-rate * self.least) - math.exp(-rate * self.most)) / spread

    def simulated(self, hosts: int, seed: int) -> list[float]:
        """For each host, the seconds between a push and its next poll, drawn and sorted.

        The push comes after hosts have polled for twenty periods, from a common start.
        """
        draw = random.Random(seed)
        push = 20 * self.mean + draw.uniform(0, self.mean)
        waits = []
        for _ in range(hosts):
            now = 0.0
            while now < push:
                now += draw.uniform(self.least, self.most)
            waits.append(now - push)
        return sorted(waits)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one poll costs the service.

    ``requests`` and ``sent`` (bytes to the host) are of a poll that finds nothing new;
    ``changed_sent`` of one that gets a bundle; ``processor`` is in seconds.
    """

    requests: float
    sent: float
    changed_sent: float
    processor: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of hosts asks of the service; ``processors`` are used all the time."""

    polls_a_second: float
    requests_a_second: float
    bytes_a_day: float
    bytes_of_a_push: float
    processors: float


def load(hosts: int, polling: Polling, cost: Cost) -> Load:
    """The load of hosts that poll, and the bytes of one push."""
    polls = hosts / polling.mean
    return Load(
        polls_a_second=polls,
        requests_a_second=polls * cost.requests,
        bytes_a_day=polls * cost.sent * _DAY,
        bytes_of_a_push=hosts * cost.changed_sent,
        processors=polls * cost.processor,
    )


@dataclass(frozen=True, slots=True)
class Uploading:
    """What the uploads of hosts are in a second: requests, bytes that are sent to the receiver, and
    processor time of the receiver in seconds."""

    requests: float
    sent: float
    processor: float

    def times(self, hosts: int) -> Uploading:
        """The same of many hosts."""
        return Uploading(self.requests * hosts, self.sent * hosts, self.processor * hosts)

    @property
    def bytes_a_day(self) -> float:
        return self.sent * _DAY


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of uploads and the polls of hosts that make ``rate`` decisions a second each.

    A round sends decisions if there were any. With ``has_status``, OPA sends its status after each
    poll and after each round.
    """

    polling: Polling
    rate: float
    has_status: bool

    def uploads(self, hosts: int) -> float:
        """The uploads of decisions in a second."""
        return hosts * self.polling.share_with(self.rate) / self.polling.mean

    def reports(self, hosts: int) -> float:
        """The uploads of status in a second."""
        return 2 * hosts / self.polling.mean if self.has_status else 0.0

    def simulated(self, hosts: int, seconds: int, seed: int) -> list[int]:
        """The uploads of both kinds in each second, drawn; the hosts have worked for a while."""
        draw = random.Random(seed)
        warm = 20 * self.polling.mean
        found = [0] * seconds
        for _ in range(hosts):
            for is_round in (True, False):
                now = draw.uniform(0, self.polling.mean)
                while now < warm + seconds:
                    delay = draw.uniform(self.polling.least, self.polling.most)
                    now += delay
                    has_decisions = is_round and draw.random() > math.exp(-self.rate * delay)
                    if warm <= now < warm + seconds:
                        found[int(now - warm)] += has_decisions + self.has_status
        return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least a share of sorted values does not exceed."""
    return ordered[min(math.ceil(share * len(ordered)), len(ordered)) - 1]
