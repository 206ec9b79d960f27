"""The pages show decisions, trials and the policy; what a request says is text on all of them."""

from __future__ import annotations

import html
import re
import shlex
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from werkzeug.test import TestResponse

from authz_plugin import policy, settings
from authz_plugin.journal.chain import read_links
from authz_plugin.settings import Settings
from authz_plugin.tools.console import decision_page, reasoning
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.tools.console.pages import Browser, Opened
from tests.tools.learning.days import create, send, write_day

HOSTILE: Final = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
QUOTED: Final = shlex.quote(f"/srv/{HOSTILE}:/d")
TOMORROW: Final = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
TEXT: Final = """\
profile: production
audit: {inputs: true, file: /var/log/opa-authz/audit.jsonl}
metrics: {listen: "off"}
roles:
  "<b>ci</b>": {callers: [{user: "<i>runner</i>"}], privileged: {allow: true}}
exceptions:
  - rule: capabilities.add
    value: NET_ADMIN
    when: {image: alpine}
    expires: "2027-01-31"
    reason: "<u>because</u>"
"""


class Host:
    """A settings file, its policy and an audit file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.yaml"
        self.file.write_text(TEXT)
        self.audit = folder / "audit.jsonl"
        with open_sandbox(self.load()) as sandbox:
            self.ids = dict(zip(REQUESTS, self._write(sandbox), strict=True))

    def load(self, file: Path | None = None) -> Settings:
        flags: dict[settings.Key, Any] = {("config",): str(file or self.file)}
        return settings.load(flags, {}, policy.config_schema())

    def _write(self, sandbox: Sandbox) -> list[str]:
        write_day(self.audit, sandbox, REQUESTS.values())
        documents = [link.document for link in read_links(self.audit)]
        return [document["decision_id"] for document in documents if "verdict" in document]


REQUESTS: Final[dict[str, Request]] = {
    "allowed": create(),
    "mount": create(Binds=["/srv/data:/d"]),
    "privileged": create(Privileged=True),
    "hostile path": create(Binds=[f"/srv/{HOSTILE}:/d"]),
    "hostile label": create({"Labels": {HOSTILE: HOSTILE}}, Privileged=True),
    "hostile name": create(query="?name=%3Cscript%3E"),
    "hostile path in the address": send("/containers/%3Cscript%3Ealert(1)%3C%2Fscript%3E/exec"),
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module")
def browser(host: Host) -> Browser:
    return Opened(host.audit, load=host.load).browser()


class Elements(HTMLParser):
    """The elements of a page, and what could run in it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def text(answer: TestResponse, status: int = 200) -> str:
    """The page as text, which must be free of markup and scripts of a request."""
    assert answer.status_code == status, answer.text
    elements = Elements(answer.text)
    assert "img" not in elements.names
    assert not {"b", "i", "u"} & {tag for tag in elements.names if f"<{tag}>ci" in answer.text}
    assert elements.names.count("script") in {0, 2}
    assert not [name for name, _ in elements.attributes if name.startswith("on") or name == "style"]
    assert not [v for _, v in elements.attributes if (v or "").startswith("javascript:")]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


@pytest.mark.parametrize("name", REQUESTS)
def test_each_decision_is_shown_and_what_it_says_is_text(
    browser: Browser, host: Host, name: str
) -> None:
    shown = text(browser.get(f"/decision/{host.ids[name]}"))
    assert host.ids[name] in shown


def test_a_denial_shows_the_rule_its_rego_and_the_change(browser: Browser, host: Host) -> None:
    shown = text(browser.get(f"/decision/{host.ids['mount']}"))
    for part in (
        "mounts.source A bind mount must lie below an allowed path",
        "HostConfig.Binds[0] is /srv/data",
        "Remedy Mount a folder below a root",
        "docker/authz/rules/mounts/mounts.rego:",
        "denials contains denial.of(",
        "mounts: allow: - {path: /srv/data}",
        "bind, writable",
    ):
        assert part in shown


def test_a_hostile_path_is_shown_as_it_was_written(browser: Browser, host: Host) -> None:
    answer = browser.get(f"/decision/{host.ids['hostile path']}")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "<script>alert" not in answer.text


def test_a_dangerous_change_is_shown_when_it_is_named(browser: Browser, host: Host) -> None:
    page = f"/decision/{host.ids['privileged']}"
    assert "privileged: {allow: true}" not in text(browser.get(page))
    assert "It is withheld" in text(browser.get(page))
    assert "privileged: {allow: true}" in text(browser.get(f"{page}?grant=privileged.container"))


def test_the_replay_is_part_of_the_page(browser: Browser, host: Host) -> None:
    answer = browser.submit(f"/decision/{host.ids['mount']}/turned")
    shown = text(answer)
    assert "<html" not in answer.text
    assert "1 newly allowed, 0 newly denied" in shown
    assert host.ids["mount"][:8] in shown


def test_one_replay_runs_at_a_time(browser: Browser, host: Host) -> None:
    with decision_page._replaying:
        answer = browser.submit(f"/decision/{host.ids['mount']}/turned")
    assert "Another replay runs" in text(answer, 429)
    assert browser.submit(f"/decision/{host.ids['mount']}/turned").status_code == 200


@pytest.mark.parametrize("id_", ["0" * 16, "x", "%3Cscript%3E"])
def test_a_decision_that_is_not_there_is_not_found(browser: Browser, id_: str) -> None:
    for answer in (browser.get(f"/decision/{id_}"), browser.submit(f"/decision/{id_}/turned")):
        assert "no decision" in text(answer, 404)


def test_a_run_is_tried(browser: Browser) -> None:
    assert "docker run" in text(browser.get("/try"))
    answer = browser.submit("/try", form="run", line=f"--privileged -v {QUOTED} a")
    shown = text(answer)
    assert "<html" not in answer.text
    assert "deny POST /containers/create" in shown
    assert "privileged.container" in shown
    assert HOSTILE in shown


def test_what_is_long_is_cut_and_that_is_told(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasoning, "_MAX_RULES", 1)
    monkeypatch.setattr(reasoning, "_MAX_FACTS", 3)
    answer = browser.submit("/try", form="run", line="-v /srv/a:/a -v /srv/b:/b -v /srv/c:/c a")
    shown = text(answer)
    assert "2 more are left out." in shown
    assert shown.count("more are left out.") == 2
    assert answer.text.count("<article") == 1


def test_a_withheld_change_of_a_trial_is_shown_when_it_is_named(browser: Browser) -> None:
    given = {"form": "run", "line": "--privileged alpine"}
    assert "privileged: {allow: true}" not in text(browser.submit("/try", **given))
    named = browser.submit("/try", grant=["privileged.container"], **given)
    assert "privileged: {allow: true}" in text(named)


def test_a_role_and_a_raw_request_are_tried(browser: Browser) -> None:
    body = '{"Image": "alpine", "HostConfig": {"Privileged": true}}'
    given = {"form": "raw", "method": "POST", "path": "/containers/create", "body": body}
    assert "deny POST" in text(browser.submit("/try", **given))
    assert "allow POST" in text(browser.submit("/try", role="<b>ci</b>", **given))
    assert "allow POST" in text(browser.submit("/try", user="<i>runner</i>", **given))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"form": "run", "line": f"--env-file {QUOTED} a"}, "No such option"),
        ({"form": "run", "line": ""}, "no image"),
        ({"form": "raw", "method": "GET", "path": HOSTILE}, "begin with /"),
        ({"form": "run", "line": "a", "role": HOSTILE}, "is no role"),
        ({"form": "raw", "method": HOSTILE, "path": "/info"}, "one of"),
        ({}, "no image"),
    ],
)
def test_what_cannot_be_tried_is_told(browser: Browser, given: dict[str, str], told: str) -> None:
    assert told in text(browser.submit("/try", **given), 422)


def test_a_trial_without_htmx_is_a_page_with_what_was_given(browser: Browser) -> None:
    headers = {"Origin": "http://127.0.0.1:9718", "Sec-Fetch-Site": "same-origin"}
    answer = browser.client.post(
        "/try",
        data={"form": "run", "line": "--rm <b>", "csrf": browser.csrf},
        base_url="http://127.0.0.1:9718",
        headers=headers,
    )
    assert "<html" in answer.text
    assert ">--rm &lt;b&gt;</textarea>" in answer.text
    text(answer)


def test_a_body_that_is_too_long_is_refused(browser: Browser) -> None:
    answer = browser.submit("/try", form="raw", method="POST", path="/x", body="x" * (1 << 21))
    assert answer.status_code == 413


def test_the_policy_is_shown_and_its_texts_are_text(browser: Browser) -> None:
    answer = browser.get("/policy")
    shown = text(answer)
    for part in (
        "Policy production",
        "in force at least since",
        "metrics.listen: off",
        "<b>ci</b>",
        "user <i>runner</i>",
        "capabilities.add NET_ADMIN",
        "<u>because</u>",
        "containers",
        "container.create write",
    ):
        assert part in shown
    assert "<u>because" not in answer.text


def test_settings_that_are_wrong_are_told(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("profile: production\n<b>: 1\n")
    browser = Opened(host.audit, load=lambda: host.load(file)).browser()
    replay = browser.submit(f"/decision/{host.ids['mount']}/turned")
    for answer in (browser.get("/policy"), browser.get("/try"), replay):
        assert f"{file}:2" in text(answer, 503)


def test_a_decision_is_shown_without_the_policy_as_it_was_recorded(
    host: Host, tmp_path: Path
) -> None:
    missing = tmp_path / "config.yaml"
    browser = Opened(host.audit, load=lambda: host.load(missing)).browser()
    shown = text(browser.get(f"/decision/{host.ids['mount']}"))
    assert f"The policy cannot be asked: {missing}" in shown
    assert "mounts.source A bind mount must lie below an allowed path" in shown
    assert "Remedy Mount a folder below a root" in shown


def test_without_write_no_exception_can_be_added(browser: Browser, host: Host) -> None:
    page = f"/decision/{host.ids['mount']}/exception"
    assert browser.get(page).status_code == 404
    assert browser.submit(page, choice="x").status_code == 404
    assert "exception" not in browser.get(f"/decision/{host.ids['mount']}").text.lower()


@pytest.fixture
def own(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def writer(own: Host) -> Browser:
    return Opened(own.audit, writable=True, load=own.load, load_from=own.load).browser()


def first_choice(answer: TestResponse) -> str:
    found = re.search(r'name="choice" value="([0-9a-f]{16})"', answer.text)
    assert found is not None
    return found[1]


def test_an_exception_is_added_and_counts_at_once(writer: Browser, own: Host) -> None:
    decision = f"/decision/{own.ids['mount']}"
    assert "Add an exception" in text(writer.get(decision))
    page = f"{decision}/exception"
    choice = first_choice(writer.get(page))
    given = {"choice": choice, "expires": TOMORROW, "reason": HOSTILE}
    assert "The settings file has it" in text(writer.submit(page, **given))
    assert "allows it" in text(writer.get(decision))
    assert HOSTILE in text(writer.get("/policy"))


def test_an_exception_that_is_wrong_changes_nothing_and_says_why(
    writer: Browser, own: Host
) -> None:
    page = f"/decision/{own.ids['privileged']}/exception"
    choice = first_choice(writer.get(page))
    given = {"choice": choice, "accept": choice, "expires": TOMORROW, "reason": "r"}
    for wrong, told in (
        ({"reason": ""}, "give a reason"),
        ({"expires": HOSTILE}, "last day"),
        ({"accept": "other"}, "confirm what it makes possible"),
        ({"choice": HOSTILE}, "Choose one"),
    ):
        assert told in text(writer.submit(page, **{**given, **wrong}), 422)
    assert own.file.read_text() == TEXT
    assert "has it" in text(writer.submit(page, **given))


def test_what_is_hostile_is_text_among_the_exceptions(writer: Browser, own: Host) -> None:
    assert HOSTILE in text(writer.get(f"/decision/{own.ids['hostile path']}/exception"))
