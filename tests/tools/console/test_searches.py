"""Pages that search the audit file: few at the same time, and none for a browser that has gone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from authz_plugin.tools.console import context
from tests.tools.console.audited import decision, write, writing
from tests.tools.console.pages import HOST, Browser, Opened


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path / "audit.jsonl", writable=True, load_from=lambda _: pytest.fail("read"))


@pytest.fixture
def page(opened: Opened) -> str:
    """The page of a recorded decision."""
    made = decision()
    with writing(opened.audit) as book:
        write(book, made)
    return f"/decision/{made.record.decision_id}"


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The console's end of a browser's connection, and the browser's."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def asked(browser: Browser, page: str, connection: socket.socket) -> TestResponse:
    """The answer to a page that a browser asks for on a connection."""
    return browser.client.get(
        page, base_url=f"http://{HOST}", environ_overrides={"gunicorn.socket": connection}
    )


@pytest.mark.parametrize("part", ["", "/exception"])
def test_a_page_for_which_too_many_search_says_so_and_when_to_try_again(
    opened: Opened, page: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(context, "_WAIT", 0.0)
    browser = opened.browser()
    for _ in range(context.MOST_SEARCHES):
        assert opened.console.searches.acquire(blocking=False)
    answer = browser.get(page + part)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "Other pages search the audit file: try again in a moment." in answer.text
    opened.console.searches.release()
    assert browser.get(page + part).status_code == 200


def test_a_search_ends_with_the_browsers_connection_and_makes_way(
    opened: Opened, page: str, connection: tuple[socket.socket, socket.socket]
) -> None:
    browser = opened.browser()
    own, theirs = connection
    assert asked(browser, page, own).status_code == 200
    theirs.send(b"G")  # the next request, on the same connection
    assert asked(browser, page, own).status_code == 200
    own.recv(1)
    theirs.close()
    for _ in range(context.MOST_SEARCHES + 1):
        answer = asked(browser, page, own)
        assert answer.status_code == 503
        assert "The browser has closed the connection." in answer.text
    assert browser.get(page).status_code == 200


def test_a_search_that_finds_nothing_makes_way(opened: Opened, page: str) -> None:
    browser = opened.browser()
    for _ in range(context.MOST_SEARCHES + 1):
        assert browser.get("/decision/0123456789abcdef").status_code == 404
    assert browser.get(page).status_code == 200
