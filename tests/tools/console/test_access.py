"""Nobody uses the console but a browser that opened the link, from the console's own pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Blueprint

from authz_plugin.tools.commands.console import console
from authz_plugin.tools.console.access import LINK_LIFETIME, SESSION_LIFETIME
from authz_plugin.tools.console.address import Address, read_address
from authz_plugin.tools.console.app import PAGES, Page
from authz_plugin.tools.console.context import Console
from tests.tools.console.pages import ADDRESS, HOST, Browser, Opened


def asking(console: Console) -> Blueprint:
    """A page with a form."""
    blueprint = Blueprint("asking", __name__)
    blueprint.add_url_rule("/ask", "ask", lambda: "answer", methods=["POST"])
    return blueprint


ASKING = Page(asking, asks=frozenset({"asking.ask"}))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path / "audit.jsonl", pages=(*PAGES, ASKING))


def test_without_the_link_nothing_is_shown_and_nothing_is_asked(opened: Opened) -> None:
    stranger = Browser(opened.app)
    paths = ["/", "/older", "/stream", "/decision/0123456789abcdef", "/nothing"]
    assert {stranger.get(path).status_code for path in paths} == {403}
    assert stranger.post("/ask").status_code == 403


def test_the_link_opens_the_console_once(opened: Opened) -> None:
    token = opened.access.new_token()
    first, second = Browser(opened.app), Browser(opened.app)
    assert first.get(f"/enter?token={token}").status_code == 200
    assert second.get(f"/enter?token={token}").status_code == 403
    assert (first.get("/").status_code, second.get("/").status_code) == (200, 403)


@pytest.mark.parametrize("token", ["", "x", "ä", "\ud800"])
def test_another_token_opens_nothing_and_leaves_the_link_good(opened: Opened, token: str) -> None:
    real = opened.access.new_token()
    browser = Browser(opened.app)
    assert opened.access.enter(token) is None
    assert browser.get("/enter").status_code == 403
    assert browser.get(f"/enter?token={real}").status_code == 200


def test_a_link_is_good_for_ten_minutes_and_until_the_next_one(opened: Opened) -> None:
    former, token = opened.access.new_token(), opened.access.new_token()
    assert opened.access.enter(former) is None
    opened.now += LINK_LIFETIME
    assert opened.access.enter(token) is None


def test_a_link_that_is_only_fetched_in_advance_stays_good(opened: Opened) -> None:
    token = opened.access.new_token()
    browser = Browser(opened.app)
    ahead = browser.get(f"/enter?token={token}", Sec_Purpose="prefetch;prerender")
    head = browser.client.head(f"/enter?token={token}", base_url=f"http://{HOST}")
    assert (ahead.status_code, head.status_code) == (503, 503)
    assert browser.get(f"/enter?token={token}").status_code == 200


def test_a_session_ends_after_twelve_hours(opened: Opened) -> None:
    browser = opened.browser()
    opened.now += SESSION_LIFETIME - 1
    assert browser.get("/").status_code == 200
    opened.now += 1
    assert browser.get("/").status_code == 403


def test_the_cookie_is_for_no_script_and_no_other_site(opened: Opened) -> None:
    answer = Browser(opened.app).get(f"/enter?token={opened.access.new_token()}")
    name, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith(f"{ADDRESS.cookie}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert not any(one.startswith("Domain") for one in attributes)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "attacker.example",
        "attacker.example:9718",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.2:9718",
        "[::1]:9718",
        "localhost.attacker.example:9718",
        "127.0.0.1:9718,attacker.example",
    ],
)
def test_a_name_that_was_rebound_to_this_host_is_refused(opened: Opened, host: str) -> None:
    browser = opened.browser()
    for path in ("/", "/static/console.js", f"/enter?token={opened.access.new_token()}"):
        environ = {"HTTP_HOST": host}
        answer = browser.client.get(path, environ_overrides=environ, buffered=True)
        assert answer.status_code == 421, path


def test_the_address_and_localhost_are_its_own_names(opened: Opened) -> None:
    assert opened.browser().get("/").status_code == 200
    assert Browser(opened.app).get("/", host="localhost:9718").status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:65535", "[::1]:8080"])
def test_a_forwarded_socket_may_have_any_port_of_the_other_end(host: str) -> None:
    is_own = read_address("unix:/run/console.sock").is_own_host
    assert is_own(host)
    assert not is_own(f"{host}.attacker.example")
    assert not is_own("attacker.example")


def test_a_page_of_the_console_may_ask(opened: Opened) -> None:
    browser = opened.browser()
    assert browser.post("/ask").text == "answer"
    form = {"csrf": browser.csrf}
    origin = {"Origin": f"http://{HOST}"}
    answer = browser.client.post("/ask", base_url=f"http://{HOST}", data=form, headers=origin)
    assert answer.text == "answer"


@pytest.mark.parametrize(
    "changed",
    [
        {"X_CSRF_Token": None},
        {"X_CSRF_Token": "guessed"},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://attacker.example"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Origin": f"https://{HOST}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
    ],
    ids=str,
)
def test_a_post_that_is_not_from_such_a_page_is_refused(
    opened: Opened, changed: dict[str, str | None]
) -> None:
    assert opened.browser().post("/ask", **changed).status_code == 403


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
@pytest.mark.parametrize(
    ("mode", "destination"),
    [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("websocket", "websocket")],
)
def test_no_other_origin_can_have_it_work_with_its_cookie(
    opened: Opened, site: str, mode: str, destination: str
) -> None:
    sent = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": destination}
    for path in ("/", "/older", "/stream", "/static/console.js"):
        assert opened.browser().get(path, **sent).status_code == 403, path


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site", "cross-site"])
def test_a_link_to_a_page_may_be_opened_from_anywhere(opened: Opened, site: str) -> None:
    sent = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert opened.browser().get("/", **sent).status_code == 200


def test_a_replay_is_not_begun_by_a_link(opened: Opened) -> None:
    assert opened.browser().get("/decision/0123456789abcdef/turned").status_code == 405


def test_the_csrf_token_of_another_session_is_refused(opened: Opened) -> None:
    one, other = opened.browser(), opened.browser()
    one.csrf = other.csrf
    assert one.post("/ask").status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(opened: Opened, method: str) -> None:
    browser = opened.browser()
    assert browser.client.open("/", method=method, base_url=f"http://{HOST}").status_code == 405


@pytest.mark.parametrize("path", ["/", "/enter", "/static/console.css", "/nothing", "/older"])
@pytest.mark.parametrize("known", [True, False])
def test_every_answer_forbids_scripts_frames_caches_and_referrers(
    opened: Opened, path: str, known: bool
) -> None:
    browser = opened.browser() if known else Browser(opened.app)
    headers = browser.get(path).headers
    assert dict(headers) | {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    } == dict(headers)


def test_no_page_has_a_script_or_style_in_its_text(opened: Opened) -> None:
    browser = opened.browser()
    for path in ("/", "/nothing", f"/enter?token={opened.access.new_token()}"):
        text = browser.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", text), path


def test_without_write_a_page_that_changes_something_cannot_be_served(tmp_path: Path) -> None:
    changing = Page(asking, changes=frozenset({"asking.ask"}))
    with pytest.raises(ValueError, match=r"asking\.ask takes"):
        Opened(tmp_path / "audit.jsonl", pages=(*PAGES, changing))
    opened = Opened(tmp_path / "audit.jsonl", writable=True, pages=(*PAGES, changing))
    assert opened.browser().post("/ask").text == "answer"


def test_a_post_that_no_page_states_cannot_be_served(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"asking\.ask takes"):
        Opened(tmp_path / "audit.jsonl", writable=True, pages=(*PAGES, Page(asking)))


@pytest.mark.parametrize(
    "value",
    [
        "0.0.0.0:9718",
        "[::]:9718",
        "192.0.2.1:9718",
        "example.org:9718",
        ":9718",
        "9718",
        "tcp://x",
        "127.0.0.1:65536",
        "127.0.0.1",
        "127.1:9718",
        "unix:",
        "unix:console.sock",
        "[::1:9718",
        "",
    ],
)
def test_what_other_hosts_could_reach_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"names no absolute path|other hosts|neither"):
        read_address(value)
    done = CliRunner().invoke(console, ["--listen", value])
    assert (done.exit_code, "--listen" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("localhost:0", Address("127.0.0.1", 0)),
        ("127.0.0.1:9718", Address("127.0.0.1", 9718)),
        ("127.8.0.1:9718", Address("127.8.0.1", 9718)),
        ("[::1]:9718", Address("[::1]", 9718)),
        ("unix:/run/console.sock", Address(path="/run/console.sock")),
    ],
)
def test_loopback_addresses_and_sockets_are_accepted(value: str, expected: Address) -> None:
    assert read_address(value) == expected
