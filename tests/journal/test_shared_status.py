"""The page that processes share."""

from __future__ import annotations

import os
import threading
import time

import pytest

from authz_plugin.errors import SetupError
from authz_plugin.journal.shared_status import SharedStatus


def test_what_is_posted_is_read_and_the_rest_stays() -> None:
    shared_status = SharedStatus()
    shared_status.update(profile="production")
    assert shared_status.read()["profile"] == "production"
    assert shared_status.read()["engine_up"] is False


def test_a_child_process_sees_what_is_posted_later_and_its_beat_is_seen() -> None:
    shared_status = SharedStatus()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read_end, 1)
        shared_status.heartbeat()
        os._exit(0 if shared_status.read()["profile"] == "later" else 1)
    shared_status.update(profile="later")
    asked = time.monotonic()
    os.write(write_end, b"1")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(read_end)
    os.close(write_end)
    assert shared_status.seconds_since_heartbeat() <= time.monotonic() - asked


def test_a_reader_never_sees_half_of_a_post() -> None:
    shared_status = SharedStatus()
    stop = threading.Event()

    def post() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shared_status.update(
                profile=str(number) * (number % 50), revision=str(number) * (number % 50)
            )

    posting = threading.Thread(target=post)
    posting.start()
    try:
        for _ in range(3000):
            facts = shared_status.read()
            assert facts["profile"] == facts["revision"] or facts["revision"] == "unknown"
    finally:
        stop.set()
        posting.join()


def test_too_much_is_refused_and_what_was_there_stays() -> None:
    shared_status = SharedStatus()
    with pytest.raises(SetupError, match="too many"):
        shared_status.update(custom_rules=["x" * 1000] * 1000)
    shared_status.update(profile="production")
    assert shared_status.read()["custom_rules"] == []
