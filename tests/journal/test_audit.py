"""The audit file: nothing is lost, changed or cut off without being found."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from authz_plugin.journal import chain
from authz_plugin.journal.audit import AuditFile, AuditOptions
from authz_plugin.journal.chain import Position
from authz_plugin.journal.outcomes import PendingRequests
from authz_plugin.journal.record import DecisionRecord, Outcome
from authz_plugin.tools.commands.audit import audit
from tests.harness.in_process import Ended, run_command
from tests.journal.records import NO, create, record, request, response


class Book:
    """An audit file in a folder, and what it told."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.told: list[Mapping[str, Any]] = []
        self.settings = AuditOptions(file=file)

    def open(self, **changes: Any) -> AuditFile:
        return AuditFile(self.settings._replace(**changes), self.told.append)

    def fill(self, count: int, **changes: Any) -> None:
        """Open, write entries, and close."""
        opened = self.open(**changes)
        for _ in range(count):
            assert opened.write([record()])
        opened.close()

    def faults(self, expected: Position | None = None) -> list[str]:
        return [str(f) for f in chain.verify(self.file, expected)[1] if f.is_fault]

    def notes(self) -> list[str]:
        return [f.message for f in chain.verify(self.file)[1] if not f.is_fault]

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().splitlines(keepends=True)

    def events(self) -> list[str]:
        return [link.document["event"] for link in chain.read_links(self.file)]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "audit.jsonl")


def test_an_orderly_file_is_sound_and_is_private(book: Book) -> None:
    book.fill(3)
    end, findings = chain.verify(book.file)
    assert (end.seq, findings) == (5, [])
    assert book.events() == ["audit_opened", *["allowed_operation"] * 3, "audit_closed"]
    assert book.file.stat().st_mode & 0o777 == 0o600


def test_a_group_may_read_it_and_the_files_before_it(book: Book) -> None:
    book.fill(2, max_size=0)
    book.fill(2, max_size=0, readers=os.getgid())
    files = chain.files_of(book.file)
    assert len(files) > 2
    facts = {(file.stat().st_gid, file.stat().st_mode & 0o777) for file in files}
    assert facts == {(os.getgid(), 0o640)}


def test_files_that_cannot_be_given_to_the_group_are_written_all_the_same(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted", str(file))

    monkeypatch.setattr("os.chown", refuse)
    book.fill(2, readers=os.getgid())
    assert book.events().count("allowed_operation") == 2
    (told,) = [event for event in book.told if event["event"] == "audit_not_shared"]
    assert told["details"].endswith("is not readable for the group: Operation not permitted")


def test_the_chain_goes_on_over_restarts(book: Book) -> None:
    for _ in range(3):
        book.fill(2)
    assert chain.verify(book.file) == (chain.end_of(book.file).position, [])
    assert chain.end_of(book.file).position.seq == 12


def test_any_changed_byte_is_found(book: Book) -> None:
    """The last of all, which ends the last line, aside: without it that line is a torn one."""
    book.fill(2)
    content = book.file.read_bytes()
    for place in range(len(content) - 1):
        book.file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert book.faults(), f"byte {place}"


def test_any_missing_line_but_the_last_ones_is_found(book: Book) -> None:
    book.fill(5)
    lines = book.lines()
    for missing in range(len(lines) - 1):
        book.file.write_bytes(b"".join(lines[:missing] + lines[missing + 1 :]))
        assert book.faults(), f"line {missing + 1}"


def test_lines_in_another_order_or_twice_are_found(book: Book) -> None:
    book.fill(3)
    one, two, *rest = book.lines()
    for changed in ([two, one, *rest], [one, two, two, *rest]):
        book.file.write_bytes(b"".join(changed))
        assert book.faults()


def test_a_line_that_was_forged_with_a_hash_of_its_own_is_found(book: Book) -> None:
    book.fill(3)
    lines = book.lines()
    link = chain.read_line(lines[1].rstrip())
    assert link is not None
    document = {k: v for k, v in link.document.items() if k not in {"hash", "prev", "seq"}}
    lines[1], _ = chain.forge({**document, "verdict": "deny"}, Position(link.seq - 1, link.prev))
    book.file.write_bytes(b"".join(lines))
    assert any("is not the one that line 3 followed" in fault for fault in book.faults())


def test_an_end_that_was_cut_off_is_found_with_a_checkpoint_of_the_log(book: Book) -> None:
    book.fill(3)
    (*_, checkpoint) = [event for event in book.told if event["event"] == "audit_checkpoint"]
    expected = Position(checkpoint["seq"], checkpoint["hash"])
    assert book.faults(expected) == []
    book.file.write_bytes(b"".join(book.lines()[:-2]))
    assert book.faults() == []
    assert book.notes() == ["is not an end: the plugin runs, or was killed"]
    assert len(book.faults(expected)) == 1


def test_a_crash_at_any_byte_leaves_a_file_that_is_sound_up_to_its_last_whole_line(
    book: Book,
) -> None:
    book.fill(1)
    content = book.file.read_bytes()
    for size in range(1, len(content)):
        book.file.write_bytes(content[:size])
        end, findings = chain.verify(book.file)
        whole = content[:size].count(b"\n")
        complete = content[size : size + 1] == b"\n"
        assert end.seq == whole + complete, f"at byte {size}"
        assert not any(finding.is_fault for finding in findings), f"at byte {size}"


def test_the_start_after_a_crash_at_any_byte_marks_what_was_torn_and_goes_on(book: Book) -> None:
    book.fill(1)
    content = book.file.read_bytes()
    for size in range(len(content)):
        book.file.write_bytes(content[:size])
        book.fill(1, sync="never")
        assert book.faults() == [], f"at byte {size}"
        assert book.file.read_bytes().startswith(content[:size])
        torn = size and content[size - 1 : size] != b"\n" and content[size : size + 1] != b"\n"
        assert len(book.notes()) == bool(torn), f"at byte {size}"


def test_a_last_line_that_was_changed_before_a_start_is_no_crash(book: Book) -> None:
    book.fill(2)
    content = book.file.read_bytes()
    book.file.write_bytes(content.replace(b"the plugin stops", b"the plugin stopt"))
    assert book.faults()
    book.fill(1)
    (fault,) = book.faults()
    assert "the line is not as it was written" in fault


def test_a_full_file_is_put_aside_and_the_chain_goes_on(book: Book) -> None:
    opened = book.open(max_size=1)
    while len(chain.rotated(book.file)) < 2:
        assert opened.write([record() for _ in range(200)])
    opened.close()
    first, second = chain.rotated(book.file)
    assert first.name == "audit.jsonl.000000000001"
    assert 1 << 20 <= first.stat().st_size < 2 << 20
    assert second.name.endswith(f"{chain.end_of(first).position.seq + 1:012}")
    assert book.faults() == []
    second.unlink()
    assert "are missing" in book.faults()[0]


def test_an_old_file_is_put_aside(book: Book) -> None:
    opened = book.open(max_age=1)
    opened.write([record()])
    opened._began -= 3601
    opened.write([record()])
    opened.close()
    assert len(chain.rotated(book.file)) == 1
    assert book.faults() == []


def test_files_beyond_the_retention_are_removed_and_that_is_told(book: Book) -> None:
    opened = book.open(retention=2)
    for age in (3, 3, 1, 0):
        opened.write([record()])
        opened._began = 0
        opened.write([record()])
        newest = chain.rotated(book.file)[-1]
        past = time.time() - age * 86400
        os.utime(newest, (past, past))
    opened._began = 0
    opened.write([record()])
    opened.close()
    assert len(chain.rotated(book.file)) == 3
    assert "audit_removed" in book.events()
    assert book.faults() == []
    chain.rotated(book.file)[0].unlink()
    assert any("lines 1 to" in fault for fault in book.faults())


def test_a_second_plugin_cannot_write_the_same_file(book: Book) -> None:
    first = book.open()
    second = book.open()
    assert second.failure == "another process writes it"
    assert not second.write([record()])
    assert first.write([record()])
    first.close()
    assert book.faults() == []


@pytest.fixture
def no_room() -> Iterator[Callable[[int], None]]:
    """Let no file of this process grow beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size or before[0], before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_and_nothing_is_lost_or_doubled_when_there_is_room_again(
    book: Book, no_room: Callable[[int], None]
) -> None:
    opened = book.open()
    records = [record() for _ in range(6)]
    batch: list[DecisionRecord | Outcome] = [*records]
    size = len(chain.forge(batch[0].to_document(), Position())[0])
    for room in range(opened.size, opened.size + 6 * size, 97):
        opened.close()
        book.file.unlink()
        opened = book.open()
        no_room(max(room, opened.size + 1))
        assert not opened.write(batch)
        assert opened.failure == "File too large"
        no_room(0)
        opened._next_try = 0
        assert opened.write(batch)
        assert opened.failure == ""
        ids = [link.document.get("decision_id") for link in chain.read_links(book.file)]
        assert [id_ for id_ in ids if id_] == [entry.decision_id for entry in records]
        assert book.faults() == []
    assert {"audit_failing", "audit_resumed"} <= {event["event"] for event in book.told}
    opened.close()


def test_a_failing_disk_is_not_tried_all_the_time(
    book: Book, no_room: Callable[[int], None]
) -> None:
    opened = book.open()
    no_room(opened.size)
    for _ in range(100):
        assert not opened.write([record()])
    no_room(0)
    assert opened.failures == 1
    opened.close()


def test_a_folder_that_cannot_be_made_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    book = Book(tmp_path / "file/audit.jsonl")
    opened = book.open()
    assert opened.failure
    assert not opened.write([record()])
    opened.close()
    assert book.told[0]["event"] == "audit_failing"


@pytest.mark.parametrize(("sync", "calls"), [("always", 3), ("interval", 1), ("never", 0)], ids=str)
def test_the_disk_is_asked_as_often_as_the_setting_says(
    book: Book, monkeypatch: pytest.MonkeyPatch, sync: str, calls: int
) -> None:
    opened = book.open(sync=sync)
    asked: list[int] = []
    monkeypatch.setattr(os, "fsync", asked.append)
    for _ in range(3):
        opened.write([record()])
    assert len(asked) == calls
    monkeypatch.undo()
    opened.close()


def test_a_killed_writer_leaves_a_sound_file(book: Book) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from authz_plugin.journal.audit import AuditFile, AuditOptions\n"
        "from tests.journal.records import record\n"
        "file = AuditFile(AuditOptions(file=Path(sys.argv[1]), max_size=1), lambda _: None)\n"
        "print('up', flush=True)\n"
        "while True: file.write([record() for _ in range(20)])\n"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", script, book.file], stdout=subprocess.PIPE
        ) as writing:
            assert writing.stdout is not None
            assert writing.stdout.readline() == b"up\n"
            time.sleep(0.3)
            writing.kill()
    book.fill(1)
    assert book.faults() == []
    assert len(book.events()) > 100


# --- the command line ----------------------------------------------------------------------------


def run(*arguments: str) -> Ended:
    return run_command(Path.cwd(), "audit", *arguments)


def test_verify_says_how_far_the_chain_goes_and_what_is_wrong(book: Book) -> None:
    book.fill(2)
    end = chain.end_of(book.file).position
    sound = run("verify", f"--file={book.file}", f"--expect={end.seq}:{end.hash}")
    assert (sound.returncode, sound.stdout.splitlines()[-1]) == (
        0,
        f"0 faults; the last sound line is {end.seq}:{end.hash}",
    )
    book.file.write_bytes(b"".join(book.lines()[:1] + book.lines()[2:]))
    broken = run("verify", f"--file={book.file}")
    assert broken.returncode == 3
    assert re.search(r"fault: .*audit\.jsonl:2: lines 2 to 2 are missing", broken.stdout)


def test_verify_says_so_where_there_is_nothing_to_verify(book: Book) -> None:
    absent = run("verify", f"--file={book.file}")
    assert absent.returncode == 1
    assert "is not there" in absent.stderr
    assert "Traceback" not in absent.stderr
    unset = run("verify", "--config=/dev/null")
    assert "audit.file" in unset.stderr


def test_show_finds_decisions_by_every_filter(book: Book, shown: list[dict[str, Any]]) -> None:
    denied, alice, plain = shown
    for option, expected in {
        "--verdict=deny": [denied],
        "--rule=mounts.*": [denied],
        "--rule=privileged.*": [],
        "--user=al*": [alice],
        "--operation=container.list": [alice, plain],
        f"--decision={plain['decision_id']}": [plain],
        "--since=1h": [denied, alice, plain],
        "--until=1h": [],
        "--since=2999-01-01": [],
        "--until=2999-01-01T00:00:00Z": [denied, alice, plain],
    }.items():
        done = CliRunner().invoke(audit, ["show", f"--file={book.file}", "--json", option])
        found = [orjson.loads(line)["decision_id"] for line in done.output.splitlines()]
        assert found == [document["decision_id"] for document in expected], option


def test_show_joins_a_decision_with_its_outcome(book: Book, shown: list[dict[str, Any]]) -> None:
    _, alice, plain = shown
    done = run("show", f"--file={book.file}", "--json", "--operation=container.list")
    first, second = map(orjson.loads, done.stdout.splitlines())
    assert first["outcome"]["status"] == 200
    assert second["outcome"] is None
    text = run("show", f"--file={book.file}").stdout
    assert f"(decision {alice['decision_id']}" in text
    assert "status 200" in text
    assert f"(decision {plain['decision_id']}" in text


@pytest.fixture
def shown(book: Book) -> list[dict[str, Any]]:
    """A denial, an allowed request of alice's that ran, and one that nothing is known of."""
    denied, alice, plain = record(create(), NO), record(request(user="alice")), record()
    waiting = PendingRequests()
    waiting.add(alice)
    opened = book.open()
    opened.write([denied, alice, waiting.finish(response(request(user="alice"), 200)), plain])
    opened.close()
    return [entry.to_document() for entry in (denied, alice, plain)]
