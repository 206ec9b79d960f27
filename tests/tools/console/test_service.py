"""A browser that stops in the middle of a request does not hold the console."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import TConn

from authz_plugin.tools.console import service


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave the logger of gunicorn as it was: the console changes it, in a process of its own."""
    log = logging.getLogger("gunicorn.error")
    before = log.level, log.propagate, log.handlers
    yield
    level, log.propagate, log.handlers = before
    log.setLevel(level)


def test_a_browser_that_sends_no_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_PATIENCE", 1)
    settings: Any = Config()
    log = service._Logger(settings)
    no_application: Any = None
    worker = service._Worker(0, os.getpid(), [], no_application, 60, settings, log)
    ours, theirs = socket.socketpair()
    with ours, theirs, closing(worker.tmp):
        theirs.settimeout(10)
        theirs.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        assert worker.handle(TConn(settings, ours, ("", 0), ("", 0))) is False
        assert time.monotonic() - began < 5
