"""The spool: what is appended is read in order, once, and removed when it has arrived."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from authz_plugin.journal.record import DecisionRecord
from authz_plugin.journal.spool import LINE_LIMIT, Spool, SpoolOptions, SpoolReader
from tests.journal.records import record, request

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


Reading = Callable[[], SpoolReader]


@pytest.fixture
def reading(folder: Path) -> Iterator[Reading]:
    """Opens the spool as the supervisor does at its start."""
    with contextlib.ExitStack() as opened:

        def read() -> SpoolReader:
            reader = SpoolReader(folder)
            opened.callback(reader.close)
            return reader

        yield read


def spool(folder: Path, limit: int = MIB, told: list[Mapping[str, Any]] | None = None) -> Spool:
    told = [] if told is None else told
    return Spool(SpoolOptions(folder, limit), told.append)


def long(length: int = 4000) -> DecisionRecord:
    return record(request(user="u" * length))


def ids(reader: SpoolReader) -> list[str]:
    found = []
    while (line := reader.next()) is not None:
        found.append(orjson.loads(line)["decision_id"])
    return found


def test_what_is_appended_is_read_in_order_while_it_is_appended(
    folder: Path, reading: Reading
) -> None:
    written, reader = spool(folder), reading()
    first, second = [record(), record()], [record()]
    assert reader.next() is None
    assert written.write(first)
    assert ids(reader) == [one.decision_id for one in first]
    assert written.write(second)
    assert ids(reader) == [one.decision_id for one in second]
    assert written.last == reader.handed == 3


def test_what_has_not_arrived_is_read_again_also_after_a_restart(
    folder: Path, reading: Reading
) -> None:
    made = [record() for _ in range(5)]
    spool(folder).write(made)
    reader = reading()
    ids(reader)
    reader.confirm(2)
    reader.again()
    rest = [one.decision_id for one in made[2:]]
    assert ids(reader) == rest
    assert ids(reading()) == rest
    after = record()
    spool(folder).write([after])
    assert ids(reading()) == [*rest, after.decision_id]


def test_a_full_spool_loses_and_counts_until_something_has_arrived(
    folder: Path, reading: Reading
) -> None:
    told: list[Mapping[str, Any]] = []
    written, reader = spool(folder, told=told), reading()
    for _ in range(100):
        assert written.write([long(), long(), long()])
    kept = len(ids(reader))
    assert 200 < kept == written.last
    assert written.lost == 300 - kept
    assert [event["event"] for event in told] == ["spool_full"]
    assert sum(file.stat().st_size for file in folder.glob("*.jsonl")) <= MIB
    reader.confirm(kept)
    written.write([long()])
    assert len(list(folder.glob("*.jsonl"))) <= 2
    assert written.lost == 300 - kept
    assert len(ids(reader)) == 1


def test_a_record_that_is_too_long_is_lost_and_no_other(folder: Path, reading: Reading) -> None:
    written = spool(folder)
    written.write([record(), long(LINE_LIMIT), record()])
    assert (written.lost, written.last) == (1, 2)


@pytest.mark.parametrize("lines", [1, 2])
def test_a_line_that_was_not_completed_is_lost_and_no_other(
    folder: Path, reading: Reading, lines: int
) -> None:
    written = spool(folder)
    written.write([record() for _ in range(lines)])
    [file] = folder.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-10])
    again = spool(folder)
    last = record()
    again.write([last])
    assert again.lost == 1
    assert len(found := ids(reading())) == lines
    assert found[-1] == last.decision_id


def test_lines_that_the_disk_has_lost_do_not_hide_new_ones(folder: Path, reading: Reading) -> None:
    spool(folder).write([record() for _ in range(5)])
    reader = reading()
    ids(reader)
    reader.confirm(5)
    [file] = folder.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:10])
    new = record()
    spool(folder).write([new])
    assert ids(reading()) == [new.decision_id]


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told: list[Mapping[str, Any]] = []
    written = spool(tmp_path / "file/spool", told=told)
    assert not written.write([record()])
    (tmp_path / "file").unlink()
    assert written.write([record()])
    assert [event["event"] for event in told] == ["spool_failing", "spool_resumed"]
    assert written.lost == 0


def test_a_write_that_failed_after_a_part_is_done_again_as_a_whole(
    folder: Path, reading: Reading
) -> None:
    written = spool(folder)
    made = [long() for _ in range(5)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        assert not written.write(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert written.write(made)
    assert ids(reading()) == [one.decision_id for one in made]


def test_a_number_that_cannot_be_read_makes_lines_arrive_again(
    folder: Path, reading: Reading
) -> None:
    written, reader = spool(folder), reading()
    written.write([record()])
    ids(reader)
    reader.confirm(1)
    (folder / "arrived").write_text("")
    assert len(ids(reading())) == 1
