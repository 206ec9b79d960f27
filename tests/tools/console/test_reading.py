"""The audit file is read from its end and followed: no line is missed, and none comes twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from authz_plugin.journal.chain import read_links, rotated
from authz_plugin.tools.console import reading
from authz_plugin.tools.console.reading import Follower, decision_links, links_newest_first
from tests.journal.records import record
from tests.tools.console.audited import decision, outcome, write, writing


def numbers(follower: Follower) -> list[int]:
    return [link.seq for link in follower.poll()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def follower(file: Path) -> Iterator[Follower]:
    with closing(Follower(file)) as follower:
        yield follower


@pytest.mark.parametrize(
    ("max_size", "count"), [(0, 20), (64, 300)], ids=["many files", "a long file"]
)
def test_the_lines_come_from_the_last_to_the_first(file: Path, max_size: int, count: int) -> None:
    with writing(file, max_size=max_size) as book:
        for _ in range(count):
            write(book, decision())
    forward = list(read_links(file))
    assert list(links_newest_first(file)) == forward[::-1]
    assert [link.seq for link in links_newest_first(file, before=9)] == [8, 7, 6, 5, 4, 3, 2, 1]


def test_a_file_that_is_renamed_as_it_is_opened_is_read_once(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(file) as book:
        write(book, record(), record())

    def rename_and_list(file: Path) -> list[Path]:
        file.rename(file.with_name(f"{file.name}.000000000001"))
        return rotated(file)

    monkeypatch.setattr(reading, "rotated", rename_and_list)
    assert [link.seq for link in links_newest_first(file)] == [4, 3, 2, 1]


def test_a_last_line_that_is_not_complete_is_no_line_yet(file: Path, follower: Follower) -> None:
    with writing(file) as book:
        write(book, record(), record())
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert [link.seq for link in links_newest_first(file)] == [3, 2, 1]
    follower.skip()
    assert follower.poll() == []
    file.write_bytes(whole)
    assert numbers(follower) == [4]


def test_what_is_appended_is_read_once(file: Path, follower: Follower) -> None:
    with writing(file) as book:
        write(book, record())
        follower.skip()
        assert numbers(follower) == []
        write(book, record(), record())
        assert numbers(follower) == [3, 4]
        assert numbers(follower) == []
    assert numbers(follower) == [5]


@pytest.mark.parametrize("files", [1, 2, 5])
def test_no_line_is_missed_however_many_files_were_begun_meanwhile(
    file: Path, follower: Follower, files: int
) -> None:
    with writing(file, max_size=0) as book:
        write(book, record())
        follower.skip()
        before = len(rotated(file))
        for _ in range(files):
            write(book, record())
        assert len(rotated(file)) == before + files
        end = book.end.seq
        assert numbers(follower) == list(range(4, end + 1))


def test_lines_that_came_before_a_file_was_renamed_are_read(file: Path, follower: Follower) -> None:
    with writing(file) as book:
        write(book, record())
        follower.skip()
        write(book, record())
        file.rename(file.with_name(f"{file.name}.000000000001"))
        assert numbers(follower) == [3]  # there is no new file yet
        write(book, record())  # the writer still has the renamed one
        assert numbers(follower) == [4]


def test_a_line_that_comes_just_before_the_file_is_renamed_is_read(
    file: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(file) as book, monkeypatch.context() as patch:
        write(book, record())
        follower.skip()
        was_renamed = follower._was_renamed

        def rename_first() -> bool:
            patch.undo()
            write(book, record())
            file.rename(file.with_name(f"{file.name}.000000000001"))
            book._release()
            write(book, record())
            return was_renamed()

        patch.setattr(follower, "_was_renamed", rename_first)
        assert numbers(follower) == [3, 4, 5]


def test_a_file_that_is_not_there_yet_is_read_from_its_beginning(
    file: Path, follower: Follower
) -> None:
    follower.skip()
    with pytest.raises(FileNotFoundError):
        follower.poll()
    with writing(file) as book:
        write(book, record())
        assert numbers(follower) == [1, 2]


@pytest.mark.parametrize("how", ["cut", "replaced"])
def test_a_chain_that_begins_again_is_read_from_its_beginning(
    file: Path, follower: Follower, how: str
) -> None:
    with writing(file) as book:
        write(book, *(record() for _ in range(20)))
    follower.skip()
    if how == "cut":
        file.write_bytes(b"")
    else:
        file.unlink()
    with writing(file) as book:
        write(book, record())
        assert numbers(follower) == [1, 2]


def test_lines_that_are_not_as_they_were_written_are_counted_and_not_shown(
    file: Path, follower: Follower
) -> None:
    with writing(file) as book:
        write(book, record(), record())
    whole = file.read_bytes()
    file.write_bytes(b"")
    follower.skip()
    changed = whole.replace(b'"verdict":"allow"', b'"verdict":"deny"', 1)
    file.write_bytes(changed + b"not JSON\n")
    assert numbers(follower) == [1, 3, 4]
    assert follower.broken == 2


def test_a_decision_is_found_with_its_outcome_in_whichever_file(file: Path) -> None:
    first = decision()
    with writing(file, max_size=0) as book:
        write(book, first)
        write(book, decision(), decision())
        write(book, outcome(first.record))
    found = decision_links(file, first.record.decision_id)
    assert [link.document["event"] for link in found] == ["allowed_operation", "finished_operation"]
    assert decision_links(file, "0123456789abcdef") == []


@pytest.mark.parametrize("block", [1, 100, 1 << 10, 1 << 16])
def test_a_decision_is_found_wherever_its_lines_begin_and_end(
    file: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", block)
    made = [decision() for _ in range(6)]
    with writing(file) as book:
        write(book, *made)
        write(book, *(outcome(one.record) for one in made))
    for one in made:
        found = decision_links(file, one.record.decision_id)
        assert [link.document["event"] for link in found] == [
            "allowed_operation",
            "finished_operation",
        ]


def test_a_decision_whose_line_is_not_complete_is_not_found(file: Path) -> None:
    first, last = decision(), decision()
    with writing(file) as book:
        write(book, first, last)
        file.write_bytes(file.read_bytes()[:-1])
    assert decision_links(file, last.record.decision_id) == []
    assert len(decision_links(file, first.record.decision_id)) == 1


def test_a_search_ends_where_it_may_not_go_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 100)
    with writing(file) as book:
        write(book, *(decision() for _ in range(20)))
    reads = 0

    def go_on() -> None:
        nonlocal reads
        reads += 1
        if reads == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        decision_links(file, "0123456789abcdef", go_on)
    assert reads == 3
