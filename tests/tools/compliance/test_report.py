"""A report: what belongs together, where its evidence comes from, and how it is written down."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final

import pytest

from authz_plugin.decision import visible
from authz_plugin.errors import SetupError
from authz_plugin.tools.authz_message import Client
from authz_plugin.tools.compliance.assessment import STATUSES, Assessment
from authz_plugin.tools.compliance.controls import REPORTED, standard
from authz_plugin.tools.compliance.markdown import escaped, to_markdown
from authz_plugin.tools.compliance.report import COMMANDS, Compliance, assess
from authz_plugin.tools.compliance.webpage import to_html
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.checks import Result
from tests.conftest import with_policy
from tests.harness.commands import command_named
from tests.tools.compliance.made import examination, validation

HOSTILE: Final = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)> | `x` **b** [a](javascript:b) _i_ '
    "~~s~~ &lt; \\ \x1b[2J\n# heading\r\u202e"
)
EXCEPTION: Final = {
    "rule": "capabilities.add",
    "value": "SYS_PTRACE",
    "when": {"image": "debugger"},
    "expires": "2099-01-31",
    "reason": HOSTILE,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    roles = {"ops": {"callers": [{"user": "ops"}], "privileged": {"allow": True}}}
    with open_sandbox(with_policy(profile="cis", exceptions=[EXCEPTION], roles=roles)) as sandbox:
        yield sandbox


def report(sandbox: Sandbox, client: Client | None = None, **changes: Any) -> Compliance:
    given = validation(sandbox, **changes), ""
    return assess(
        sandbox, client or Client(), given, (examination(sandbox), "doctor.json"), REPORTED
    )


@pytest.fixture(scope="module")
def plain(sandbox: Sandbox) -> Compliance:
    return report(sandbox)


@pytest.fixture(scope="module")
def hostile(sandbox: Sandbox) -> Compliance:
    """A report of which every text that comes from elsewhere is hostile."""
    crossing = Result(
        "privileged",
        "security boundaries",
        HOSTILE,
        passed=False,
        expected="denied",
        observed=HOSTILE,
        rules=(HOSTILE,),
        detail=HOSTILE,
    )
    finding = Finding("containers.privileged", "critical", HOSTILE, HOSTILE, HOSTILE)
    results = [*validation(sandbox).results, crossing]
    validated = validation(sandbox, results=results, engine=HOSTILE, endpoint=HOSTILE)
    examined = examination(sandbox, finding, host=HOSTILE)
    return assess(sandbox, Client(), (validated, HOSTILE), (examined, HOSTILE), REPORTED)


def judged(report: Compliance, name: str, id_: str) -> Assessment:
    (found,) = [judged for judged in report.judged[name] if judged.control.id == id_]
    return found


def test_evidence_of_another_policy_is_refused(sandbox: Sandbox) -> None:
    for given, examined in (
        (validation(sandbox, policy_revision="0123"), examination(sandbox)),
        (validation(sandbox), examination(sandbox, policy_revision="")),
    ):
        with pytest.raises(SetupError, match=f"these settings make {sandbox.bundle.revision}"):
            assess(sandbox, Client(), (given, ""), (examined, ""), REPORTED)


def test_evidence_of_another_caller_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SetupError, match="made as alice and this report is made as nobody"):
        report(sandbox, caller="alice")


def test_a_report_is_about_the_part_of_the_policy_that_counts_for_the_caller(
    sandbox: Sandbox, plain: Compliance
) -> None:
    theirs = report(sandbox, Client("ops"), caller="ops")
    assert judged(plain, "cis", "5.26").status == "met"
    assert "open for role ops (privileged.allow: true)" in judged(plain, "cis", "5.5").because
    assert "open for" not in judged(theirs, "cis", "5.5").because


def test_exceptions_and_roles_stand_at_the_top(plain: Compliance) -> None:
    facts = dict(plain.facts())
    assert facts["Roles"] == "ops"
    assert facts["Exceptions"].startswith("capabilities.add SYS_PTRACE for image")
    assert facts["Doctor"] == "read from doctor.json, of 2026-06-15T12:30:00Z: 0 findings"
    assert facts["Validation"].startswith("for this report, at 2026-06-15T12:30:00Z: ")
    assert judged(plain, "cis", "5.4").status == "partly"


def test_a_report_holds_if_nothing_is_lacking_that_could_be_there() -> None:
    with open_sandbox(with_policy(profile="cis")) as sandbox:
        given, observation = validation(sandbox), [Finding("dockerd.log-level", "ok", "level info")]
        made = assess(
            sandbox, Client(), (given, ""), (examination(sandbox, *observation), ""), ["cis"]
        )
        assert not made.holds
        every = {
            pattern.replace("*", "")
            for control in standard("cis").controls
            for pattern in control.findings
        }
        facts = [
            Result(id_, "prerequisites", id_, passed=True)
            for id_ in ("enforcement", "running-policy", "docker-socket")
        ]
        given = validation(sandbox, results=[*given.results, *facts])
        observation = [Finding(id_, "ok", "in order") for id_ in every]
        made = assess(
            sandbox, Client(), (given, ""), (examination(sandbox, *observation), ""), ["cis"]
        )
    assert made.holds
    assert made.counts("cis")["not met"] == made.counts("cis")["not tried"] == 0
    assert made.counts("cis")["partly"] == 5


def test_json_says_everything_that_a_page_says(hostile: Compliance) -> None:
    document = json.loads(json.dumps(hostile.to_document()))
    assert document["version"] == 1
    assert document["evidence"]["validation"]["file"] == HOSTILE
    for one in document["standards"]:
        assert sum(one["summary"].values()) == len(one["controls"])
        assert set(one["summary"]) == set(STATUSES)
    assert {one["name"] for one in document["standards"]} == set(REPORTED)


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_has_no_markup_but_its_own(plain: Compliance, hostile: Compliance) -> None:
    ordinary, page = Page(to_html(plain)), Page(to_html(hostile))
    assert set(page.tags) == set(ordinary.tags)
    assert page.attributes == ordinary.attributes
    assert page.attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "scope"}
    assert visible(HOSTILE) in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_a_page_needs_no_other_file(hostile: Compliance) -> None:
    page = Page(to_html(hostile))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert "url(" not in to_html(hostile)
    assert "@import" not in to_html(hostile)


def test_a_page_begins_with_what_is_not_met_the_worst_first(
    plain: Compliance, hostile: Compliance
) -> None:
    for compliance in (plain, hostile):
        text = to_html(compliance)
        first = text[text.index("What is not met") : text.index(compliance.standards[0].about[:40])]
        statuses = re.findall(r'<b class="([\w-]+)">', first)
        failing = [
            one.status.replace(" ", "-")
            for judged in compliance.judged.values()
            for one in judged
            if one.status in {"not met", "partly", "not tried"}
        ]
        order = ["not-met", "partly", "not-tried"]
        assert statuses == sorted(failing, key=order.index)
    assert "not-met" in statuses


def test_markdown_has_no_markup_but_its_own(hostile: Compliance) -> None:
    text = to_markdown(hostile)
    assert "<" not in text
    assert "\x1b" not in text
    columns = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
        assert cells == (columns or cells), line
        columns = cells
    spoken = [line for line in text.splitlines() if "javascript" in line]
    assert len(spoken) > 5
    for line in spoken:
        assert re.search(r"(?<!\\)(?:\\\\)*[`\[\]~]", line) is None, line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 1.5 (x) #1 - ok", "plain text, 1.5 (x) #1 - ok"),
        ("a_b", "a\\_b"),
        ("\\", "\\\\"),
        ("|", "\\|"),
        ("a\nb", "a\\\\nb"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
    ],
)
def test_texts_are_escaped_for_markdown(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_both_pages_name_every_control_its_status_and_what_to_run(plain: Compliance) -> None:
    page, text = Page(to_html(plain)).text, to_markdown(plain)
    for name in REPORTED:
        for one in plain.judged[name]:
            assert one.control.title in page
            assert f"| {escaped(one.control.title)} | {one.status} | " in text
            for piece in one.evidence:
                assert visible(piece.text) in page
                assert escaped(piece.text) in text
    for command in COMMANDS:
        assert command in page
        assert f"`{command}`" in text


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("opa-authz ")])
def test_what_a_reader_can_run_is_understood(line: str) -> None:
    _, command, *arguments = shlex.split(line)
    command_named(command).make_context(command, arguments, resilient_parsing=False)
