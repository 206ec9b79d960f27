"""Every open page is told of the decisions that it wants, and no page delays another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authz_plugin.journal.audit import AuditFile, Entry
from authz_plugin.tools.console.decisions import Wanted
from authz_plugin.tools.console.feed import KEPT, MOST_CLIENTS, QUEUE, Client, Feed
from tests.journal.records import NO, create, request
from tests.tools.console.audited import decision, outcome, write, writing

ALL = Wanted()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def book(file: Path) -> Iterator[AuditFile]:
    with writing(file) as book:
        yield book


@pytest.fixture
def feed(file: Path, book: AuditFile) -> Iterator[Feed]:
    feed = Feed(file)
    feed.start()
    yield feed
    feed.stop()


def joined(feed: Feed, wanted: Wanted = ALL, after: int | None = None) -> Client:
    client = feed.join(wanted, feed.last() if after is None else after)
    assert client is not None
    return client


def taken(client: Client) -> list[str]:
    """The ids of the decisions that arrive next, the oldest first."""
    batch = client.take(5)
    assert batch is not None
    return [one.id for one in batch.decisions]


def test_a_decision_is_told_to_every_page_within_a_second(feed: Feed, book: AuditFile) -> None:
    clients = [joined(feed), joined(feed)]
    begun = time.monotonic()
    write(book, denied := decision(create(), NO))
    assert [taken(client) for client in clients] == [[denied.record.decision_id]] * 2
    assert time.monotonic() - begun < 1


def test_an_outcome_is_told_with_its_decision(feed: Feed, book: AuditFile) -> None:
    client = joined(feed)
    write(book, made := decision(create()))
    assert taken(client) == [made.record.decision_id]
    write(book, outcome(made.record, 201, ("c" * 64,)))
    batch = client.take(5)
    assert batch is not None
    assert [(one.status, one.created) for one in batch.decisions] == [("201", ("c" * 12,))]


def test_a_page_is_told_only_what_it_wants(feed: Feed, book: AuditFile) -> None:
    client = joined(feed, Wanted(verdict="deny"))
    write(book, decision(), denied := decision(create(), NO), decision())
    assert taken(client) == [denied.record.decision_id]


def test_a_page_that_connects_again_misses_nothing(file: Path) -> None:
    feed = Feed(file)
    with writing(file) as book:
        write(book, decision())
        feed._guarded(feed._follow)
        last = feed.last()
        write(book, second := decision(), third := decision())
        feed._guarded(feed._follow)
    again = joined(feed, after=last).take(0)
    feed.stop()
    assert again is not None
    ids = [one.id for one in again.decisions]
    assert ids == [second.record.decision_id, third.record.decision_id]


def test_a_file_that_goes_on_in_another_one_is_followed(file: Path) -> None:
    with writing(file, max_size=0) as book:
        feed = Feed(file)
        feed.start()
        client = joined(feed)
        made = []
        for _ in range(5):
            write(book, one := decision())
            made.append(one.record.decision_id)
        found: list[str] = []
        while len(found) < 5:
            found += taken(client)
        feed.stop()
    assert found == made


def test_a_slow_page_is_told_what_it_lost_and_delays_no_other(file: Path) -> None:
    feed = Feed(file)
    slow, quick = joined(feed), joined(feed)
    made = [decision() for _ in range(QUEUE + 5)]
    found: list[str] = []
    with writing(file) as book:
        for start in range(0, len(made), 100):
            write(book, *made[start : start + 100])
            feed._guarded(feed._follow)
            found += taken(quick)
    batch = slow.take(0)
    feed.stop()
    assert found == [one.record.decision_id for one in made]
    assert batch is not None
    assert (batch.lost, len(batch.decisions)) == (5, QUEUE)
    assert batch.decisions[-1].id == made[-1].record.decision_id


def test_a_page_that_was_away_for_more_than_is_kept_is_told(file: Path) -> None:
    feed = Feed(file)
    with writing(file) as book:
        write(book, *(decision() for _ in range(KEPT)))
        feed._guarded(feed._follow)
        before = joined(feed, after=1).take(0)
        write(book, decision())
        feed._guarded(feed._follow)
    away = joined(feed, after=1).take(0)
    feed.stop()
    assert before is not None
    assert away is not None
    assert (before.behind, away.behind) == (False, True)


def test_the_newest_decisions_of_before_are_there_at_once(file: Path) -> None:
    with writing(file, max_size=0) as book:
        made = [decision(create(), NO), decision(), decision(create(), NO)]
        for one in made:
            write(book, one)
    feed = Feed(file)
    feed._guarded(feed._read_history)
    feed.stop()
    newest = [one.id for one in feed.newest(Wanted(verdict="deny"), 10)]
    assert newest == [made[2].record.decision_id, made[0].record.decision_id]
    assert len(feed.newest(ALL, 2)) == 2


def test_of_a_large_request_only_what_is_shown_is_kept(file: Path) -> None:
    asked = create(CapAdd=[f"CAP_{number}" for number in range(400)], VolumesFrom=["web"])
    with writing(file, inputs=True) as book:
        write(book, decision(asked, NO))
    feed = Feed(file)
    feed._guarded(feed._read_history)
    feed.stop()
    assert file.stat().st_size > 10_000
    [one] = feed.newest(Wanted(container="web"), 1)
    assert (one.image, len(json.dumps(one.record)) < 3000) == ("app", True)


def test_only_so_many_pages_may_be_open(feed: Feed) -> None:
    clients = [joined(feed) for _ in range(MOST_CLIENTS)]
    assert feed.join(ALL, 0) is None
    feed.leave(clients[0])
    assert feed.join(ALL, 0) is not None


def test_the_end_of_the_feed_ends_every_page(feed: Feed) -> None:
    client = joined(feed)
    feed.stop()
    assert client.take(5) is None
    assert joined(feed).take(5) is None


def test_a_file_that_cannot_be_read_is_told_until_it_can(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    feed = Feed(file)
    feed._guarded(feed._follow)
    assert feed.health.fault == f"{file}: No such file or directory"
    with writing(file) as book:
        write(book, made := decision())
    feed._guarded(feed._follow)
    assert feed.health.fault == ""
    feed.stop()
    assert [one.id for one in feed.newest(ALL, 9)] == [made.record.decision_id]


Read = Callable[..., Feed]


@pytest.fixture
def read(file: Path) -> Iterator[Read]:
    """Writes entries, and has a feed read them in this thread."""
    feed = Feed(file)

    def write_and_read(*entries: Entry) -> Feed:
        with writing(file) as book:
            write(book, *entries)
        feed._guarded(feed._follow)
        return feed

    yield write_and_read
    feed.stop()


ASKED = request("POST", "/v1.44/containers/create?name=web-1", b'{"Image":"alpine"}', "alice")


@pytest.mark.parametrize(
    "wanted",
    [
        {"verdict": "deny"},
        {"rule": "mounts.source"},
        {"rule": "mounts.*"},
        {"operation": "create"},
        {"operation": "container.c*"},
        {"caller": "alice"},
        {"caller": "al*"},
        {"container": "web-1"},
        {"container": "web"},
        {"container": "web-?"},
        {"verdict": "deny", "caller": "alice", "container": "web"},
    ],
    ids=str,
)
def test_a_filter_takes_what_it_names(read: Read, wanted: dict[str, str]) -> None:
    feed = read(decision(), made := decision(ASKED, NO))
    assert [one.id for one in feed.newest(Wanted.of(wanted), 9)] == [made.record.decision_id]


@pytest.mark.parametrize(
    "wanted",
    [
        {"verdict": "allow"},
        {"rule": "mount"} | {"operation": "image"},
        {"rule": "mounts"} | {"rule": "mounts.?"},
        {"operation": "container"} | {"operation": "container.c"} | {"operation": "?reate"},
        {"caller": "bob"},
        {"caller": "lice*"},
        {"container": "web-2"},
        {"container": "alpine"},
        {"verdict": "deny", "caller": "bob"},
    ],
    ids=str,
)
def test_a_filter_leaves_out_the_rest(read: Read, wanted: dict[str, str]) -> None:
    feed = read(decision(ASKED, NO))
    assert feed.newest(Wanted.of(wanted), 9) == []


def test_a_container_is_found_by_the_id_that_its_creation_gave(read: Read) -> None:
    made = decision(ASKED)
    created = outcome(made.record, 201, ("cafe" * 16,))
    feed = read(made, created, decision(request("GET", "/v1.44/containers/beef/json")))
    found = feed.newest(Wanted(container="cafecafe"), 9)
    assert [one.id for one in found] == [made.record.decision_id]


def test_a_warning_is_found_by_its_rule(read: Read) -> None:
    feed = read(made := decision(ASKED, warnings=(NO,)))
    found = feed.newest(Wanted(rule="mounts.*", verdict="allow"), 9)
    assert [one.id for one in found] == [made.record.decision_id]


def test_no_pattern_takes_long(read: Read) -> None:
    text = "a" * 5000
    feed = read(decision(request("GET", f"/v1.44/containers/{text}/json", user=text)))
    begun = time.process_time()
    assert feed.newest(Wanted.of({"container": "*a" * 90 + "b"}), 9) == []
    assert time.process_time() - begun < 1
