"""The queue: nobody waits, nothing is lost without being counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from authz_plugin.journal.writer import Writer
from tests.harness.plugin import wait_for


class Sink:
    """Keeps what it is given, and can be told to hang or to fail."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.rounds = 0
        self.is_failing = False
        self.gate = threading.Event()
        self.gate.set()

    def write(self, batch: list[int]) -> bool:
        self.gate.wait()
        self.rounds += not batch
        if self.is_failing:
            return False
        self.items += batch
        return True


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def writer(sink: Sink) -> Iterator[Writer[int]]:
    made = Writer("test", sink.write, limit=100)
    yield made
    sink.gate.set()
    made.stop()


def test_everything_is_written_in_order(writer: Writer[int], sink: Sink) -> None:
    for number in range(50):
        writer.put(number)
    wait_for(lambda: len(sink.items) == 50, "the items")
    assert sink.items == list(range(50))
    assert writer.written == 50
    assert writer.dropped == 0


def test_a_sink_that_hangs_makes_nobody_wait_and_drops_are_counted(
    writer: Writer[int], sink: Sink
) -> None:
    sink.gate.clear()
    writer.put(0)
    wait_for(lambda: not writer._items, "the writer to hang")
    started = time.monotonic()
    for number in range(1, 1001):
        writer.put(number)
    assert time.monotonic() - started < 5
    assert writer.dropped == 900
    assert writer.is_full
    assert writer.is_stuck(0.01)
    sink.gate.set()
    wait_for(lambda: len(sink.items) == 101, "the items")
    assert sink.items == list(range(101))


def test_a_batch_that_fails_is_tried_again_and_stays_first(writer: Writer[int], sink: Sink) -> None:
    sink.is_failing = True
    for number in range(10):
        writer.put(number)
    wait_for(lambda: writer._batch, "a failure")
    writer.put(10)
    sink.is_failing = False
    wait_for(lambda: len(sink.items) == 11, "the items")
    assert sink.items == list(range(11))


def test_what_waits_is_written_at_the_end(sink: Sink) -> None:
    writer = Writer("test", sink.write, limit=1000)
    for number in range(700):
        writer.put(number)
    writer.stop()
    assert len(sink.items) == 700


def test_many_threads_lose_nothing(sink: Sink) -> None:
    writer = Writer("test", sink.write, limit=100_000)

    def put() -> None:
        for number in range(2000):
            writer.put(number)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.stop()
    assert len(sink.items) == 16_000


def test_the_sink_gets_a_round_now_and_then_also_under_load(
    writer: Writer[int], sink: Sink
) -> None:
    end = time.monotonic() + 1.6
    while time.monotonic() < end:
        writer.put(0)
        time.sleep(0.005)
    assert sink.rounds >= 1
