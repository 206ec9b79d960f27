"""The page of the decisions: what a request says is text on it, and new ones arrive."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from authz_plugin.decision import Denial
from authz_plugin.journal.audit import AuditFile
from authz_plugin.tools.console.feed import MOST_CLIENTS
from authz_plugin.tools.console.live_page import _event
from tests.journal.records import NO, create, request
from tests.tools.console.audited import decision, outcome, write, writing
from tests.tools.console.pages import HOST, Browser, Opened
from tools.vendor import INTO, SCRIPTS

HOSTILE = (
    "</td><script>alert(1)</script>\r\n\r\nevent: rows\rdata: <img src=x onerror=alert(1)>\u202e\"'"
)


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path / "audit.jsonl")


@pytest.fixture
def book(opened: Opened) -> Iterator[AuditFile]:
    with writing(opened.audit) as book:
        yield book


@pytest.fixture
def browser(opened: Opened, book: AuditFile) -> Iterator[Browser]:
    """A browser with a session, and a feed that runs."""
    opened.feed.start()
    yield opened.browser()
    opened.feed.stop()


def stream(browser: Browser, path: str = "/stream?after=0", **headers: str) -> TestResponse:
    url = f"http://{HOST}"
    return browser.client.get(path, base_url=url, headers={**headers}, buffered=False)


def events(answer: TestResponse) -> Iterator[dict[str, str]]:
    """The events of a stream as a browser reads them: their fields, with the lines of data."""
    rest = ""
    for chunk in answer.iter_encoded():
        *blocks, rest = re.split(r"(?:\r\n|\r|\n){2}", rest + chunk.decode())
        for block in blocks:
            fields: dict[str, str] = {}
            for line in re.split(r"\r\n|\r|\n", block):
                name, _, value = line.partition(": ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
            if "event" in fields:
                yield fields


def rows(text: str) -> list[str]:
    """The ids of the decisions in the rows of a page."""
    return re.findall(r'<tr id="d-([0-9a-f]{16})"', text)


def test_the_page_has_the_newest_decisions_first(browser: Browser, book: AuditFile) -> None:
    write(book, first := decision(), second := decision(create(), NO))
    arrived = next(events(stream(browser)))
    expected = [second.record.decision_id, first.record.decision_id]
    assert rows(arrived["data"]) == expected
    assert rows(browser.get("/").text) == expected
    assert rows(browser.get("/?verdict=allow").text) == expected[1:]


def test_a_decision_arrives_and_then_its_outcome(browser: Browser, book: AuditFile) -> None:
    arriving = events(stream(browser))
    write(book, made := decision(create()))
    first = next(arriving)
    write(book, outcome(made.record, 201))
    second = next(arriving)
    assert (first["id"], second["id"]) == ("2", "3")
    assert rows(first["data"]) == rows(second["data"]) == [made.record.decision_id]
    assert '<td class="status">201</td>' in second["data"]
    assert '<td class="status"></td>' in first["data"]


def test_a_browser_that_connects_again_goes_on_where_it_was(
    browser: Browser, book: AuditFile
) -> None:
    write(book, decision(), made := decision())
    next(events(stream(browser)))
    again = next(events(stream(browser, "/stream?after=0", **{"Last-Event-ID": "2"})))
    assert rows(again["data"]) == [made.record.decision_id]


@pytest.mark.parametrize("last", ["", "x", "9" * 5000, "-1"])
def test_what_is_no_number_of_a_line_is_left_out(browser: Browser, last: str) -> None:
    answer = stream(browser, Last_Event_ID=last)
    assert answer.status_code == 200
    answer.close()


def test_the_stream_has_what_the_filter_takes(browser: Browser, book: AuditFile) -> None:
    arriving = events(stream(browser, "/stream?after=0&rule=mounts.*"))
    write(book, decision(), denied := decision(create(), NO))
    assert rows(next(arriving)["data"]) == [denied.record.decision_id]


def test_a_fault_of_the_file_is_told_on_the_page(opened: Opened, browser: Browser) -> None:
    with opened.audit.open("ab") as file:
        file.write(b"not a line of the plugin\n")
    told = next(event for event in events(stream(browser)) if event["event"] == "health")
    assert told["data"].startswith("Lines of the audit file that are not as they were written: 1.")
    assert html.escape(told["data"]) in browser.get("/").text


def test_one_page_too_many_is_told_why(browser: Browser) -> None:
    for _ in range(MOST_CLIENTS + 1):
        head = browser.client.head("/stream", base_url=f"http://{HOST}", buffered=True)
        assert head.status_code == 200
    open_ones = [stream(browser) for _ in range(MOST_CLIENTS)]
    assert stream(browser).status_code == 503
    open_ones[0].close()
    assert stream(browser).status_code == 200


def test_what_a_request_says_is_text_in_every_place(browser: Browser, book: AuditFile) -> None:
    denial = Denial(f"mounts.{HOSTILE}", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    asked = request("POST", "/v1.44/containers/create", b'{"Image":"<script>alert(2)</script>"}')
    removed = request(
        "DELETE", "/v1.44/containers/%3Cscript%3Ealert(3)%3C%2Fscript%3E", user=HOSTILE
    )
    write(book, one := decision(asked, denial), decision(removed, warnings=(denial,)))
    arrived = next(events(stream(browser)))
    assert set(arrived) == {"event", "id", "data"}
    decided = browser.get(f"/decision/{one.record.decision_id}").text
    listed = browser.get("/").text
    older = browser.get("/older").text
    for text in (arrived["data"], decided, listed, older):
        markup = re.sub(r'<script src="/static/[\w/.]+" defer></script>', "", text)
        assert "&lt;script&gt;alert(1)" in markup
        assert not re.search(r"<script|<img|\u202e|\r", markup)
    assert len(rows(listed)) == 2
    assert "alert(3)&lt;/script&gt;" in listed


def test_what_is_long_is_cut_in_the_list(browser: Browser, book: AuditFile) -> None:
    user, name, source = "u" * 5000, "n" * 5000, "s" * 5000
    denied = Denial("mounts.source", "HostConfig.Binds[0]", source, source, source)
    write(book, decision(request("POST", f"/containers/{name}/start", user=user), denied))
    told = next(events(stream(browser)))
    assert len(told["data"]) < 3000
    assert told["data"].count("…") >= 3


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n", "\r\r"])
def test_no_line_of_an_event_is_anything_but_its_data(end: str) -> None:
    lines = re.split(r"\r\n|\r|\n", _event("rows", f"a{end}event: b", 7))
    assert [line for line in lines if line and not line.startswith("data: ")] == [
        "event: rows",
        "id: 7",
    ]
    assert lines.count("data: event: b") == 1


def test_what_a_filter_says_is_text(browser: Browser) -> None:
    text = browser.get("/?rule=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&caller='%20onfocus=x").text
    assert "<script>" not in text
    assert 'value="&#39; onfocus=x"' in text


def test_older_decisions_are_searched_in_the_file(opened: Opened, book: AuditFile) -> None:
    browser = opened.browser()
    made = [decision(create(), NO), decision(), decision(create(), NO)]
    write(book, *made, outcome(made[1].record, 204))
    text = browser.get("/older?before=4").text
    assert rows(text) == [made[1].record.decision_id, made[0].record.decision_id]
    assert '<td class="status">204</td>' in text
    assert "The audit file begins here." in text
    assert rows(browser.get("/older?verdict=deny").text) == [
        made[2].record.decision_id,
        made[0].record.decision_id,
    ]


def test_a_search_goes_on_where_it_ended(opened: Opened, book: AuditFile) -> None:
    browser = opened.browser()
    made = [decision() for _ in range(150)]
    write(book, *made)
    first = browser.get("/older").text
    found = re.search(r'hx-vals=\'\{"before": (\d+)\}\'', first)
    assert found is not None
    second = browser.get(f"/older?before={found[1]}").text
    shown = rows(first) + rows(second)
    assert shown == [one.record.decision_id for one in made][::-1]
    assert "The audit file begins here." in second


@pytest.mark.parametrize("path", ["/decision/0123456789abcdef", "/decision/x", "/decision/../etc"])
def test_a_decision_that_is_not_there_is_told(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_an_audit_file_that_is_gone_is_told_and_is_no_defect(opened: Opened) -> None:
    opened.audit.mkdir()
    answer = opened.browser().get("/older")
    assert (answer.status_code, "Is a directory" in answer.text) == (503, True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.package)
def test_the_scripts_of_others_are_those_that_were_pinned(script: object) -> None:
    one = next(known for known in SCRIPTS if known is script)
    name = one.file.rpartition("/")[2]
    assert hashlib.sha256((INTO / name).read_bytes()).hexdigest() == one.sha256
    assert "Zero-Clause BSD" in (INTO / f"{name}.LICENSE").read_text()


def test_no_other_script_is_served(browser: Browser) -> None:
    served = {file.name for file in INTO.parent.rglob("*.js")}
    assert served == {"console.js", *(one.file.rpartition("/")[2] for one in SCRIPTS)}
