"""A decision of the audit file is explained, and its change shown with what it would turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from authz_plugin.errors import SetupError
from authz_plugin.journal.audit import AuditFile, AuditOptions
from authz_plugin.journal.chain import read_links, rotated_name
from authz_plugin.tools.console import explained as module
from authz_plugin.tools.console.explained import Explained, explained, recorded_decision, turned
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation.reasons import Explainer
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.tools.learning.days import create, get, message, send, write_day

PATH = "/srv/data"
HOSTILE = "<script>alert(1)</script>\u202e\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(profile="production")) as opened:
        yield opened


@pytest.fixture(scope="module")
def explainer(sandbox: Sandbox) -> Explainer:
    return Explainer(sandbox)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def ids(file: Path) -> list[str]:
    return [link.document["decision_id"] for link in read_links(file) if "verdict" in link.document]


def write(file: Path, sandbox: Sandbox, *requests: Request, **config: Any) -> list[str]:
    known = set(ids(file))
    write_day(file, sandbox, requests, {"profile": "production", **config} if config else None)
    return [id_ for id_ in ids(file) if id_ not in known]


def explain_one(file: Path, sandbox: Sandbox, explainer: Explainer, **host: Any) -> Explained:
    (id_,) = write(file, sandbox, create(**host))
    return explained(recorded_decision(file, id_), sandbox, explainer)


def test_a_denial_has_its_rule_with_value_remedy_and_rego_and_the_facts(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    found = explain_one(file, sandbox, explainer, Binds=[f"{PATH}:/a"])
    assert not found.allow
    assert (found.operation, found.caller) == ("container.create", "unknown")
    assert found.now is not None
    (rule,) = found.now.rules
    assert (rule.rule, rule.field, rule.value) == ("mounts.source", "HostConfig.Binds[0]", PATH)
    assert rule.title == "A bind mount must lie below an allowed path"
    assert rule.remedy
    number, first = rule.rego[0]
    assert rule.place.endswith(f"mounts/mounts.rego:{number}")
    assert first == "denials contains denial.of("
    assert rule.rego[1][1].strip().startswith('"mounts.source"')
    assert rule.rego[-1][1] == "}"
    assert found.now.facts is not None
    assert any(kind == "mount" and PATH in text for kind, text in found.now.facts)
    assert found.differs == ""


def test_the_change_that_is_shown_allows_the_request(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    found = explain_one(file, sandbox, explainer, Binds=[f"{PATH}:/a"])
    assert found.now is not None
    assert found.now.change is not None
    assert found.now.change.state == "found"
    settings = YAML(typ="safe").load(found.now.change.settings)
    changed = sandbox.configured({"profile": "production", **settings})
    assert sandbox.judge(message(create(Binds=[f"{PATH}:/a"])), changed).allow


def test_a_dangerous_change_is_withheld_until_it_is_named(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    (id_,) = write(file, sandbox, create(Privileged=True))
    found = explained(recorded_decision(file, id_), sandbox, explainer).now
    assert found is not None
    assert found.change is not None
    assert found.change.state == "withheld"
    assert found.change.settings == ""
    (withheld,) = found.change.withheld
    assert withheld.grant == "privileged.container"
    assert withheld.means
    named = explained(recorded_decision(file, id_), sandbox, explainer, [withheld.grant]).now
    assert named is not None
    assert named.change is not None
    assert "privileged" in named.change.settings
    assert named.change.dangers == [withheld.means]


def test_without_a_recorded_input_it_says_what_to_set_and_shows_the_rules(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    record = sandbox.judge(message(create(Privileged=True))).record
    audit = AuditFile(AuditOptions(file=file), lambda _: None)
    audit.write([record])
    audit.close()
    found = explained(recorded_decision(file, record.decision_id), sandbox, explainer)
    assert found.now is None
    assert "audit.inputs: true" in found.no_input
    (rule,) = found.rules
    assert (rule.rule, rule.title) == (
        "privileged.container",
        "A container must not be privileged",
    )
    with pytest.raises(SetupError, match=r"audit\.inputs: true"):
        turned(file, recorded_decision(file, record.decision_id), sandbox)


def test_a_request_that_the_plugin_refused_is_no_decision_of_the_policy(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    (id_,) = write(file, sandbox, send("/containers/a/start?x=1;y"))
    found = explained(recorded_decision(file, id_), sandbox, explainer)
    assert not found.allow
    assert "refused this request itself" in found.no_input
    assert found.rules[0].place == ""


def test_secrets_of_the_request_are_masked_and_its_texts_are_one_line(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    labels = {"password": "hunter2", "note": HOSTILE}
    (id_,) = write(file, sandbox, create({"Labels": labels, "Env": ["TOKEN=hunter2"]}))
    shown = repr(explained(recorded_decision(file, id_), sandbox, explainer))
    assert "hunter2" not in shown
    path = f"/srv/{HOSTILE}"
    (id_,) = write(file, sandbox, create(Binds=[f"{path}:/a"]))
    found = explained(recorded_decision(file, id_), sandbox, explainer).now
    assert found is not None
    texts = [text for _, text in found.facts or ()]
    assert any("<script>" in text for text in texts)
    assert all(text.isprintable() for text in texts)
    assert all(rule.value.isprintable() for rule in found.rules)


def test_another_policy_than_the_one_that_decided_is_told(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    (id_,) = write(file, sandbox, create(Privileged=True), privileged={"allow": True})
    found = explained(recorded_decision(file, id_), sandbox, explainer)
    assert found.allow
    assert found.now is not None
    assert not found.now.allow
    assert "denies it" in found.differs


def test_a_decision_is_found_in_a_rotated_file(
    file: Path, sandbox: Sandbox, explainer: Explainer
) -> None:
    (old,) = write(file, sandbox, create())
    file.rename(rotated_name(file, 1))
    (new,) = write(file, sandbox, get("/containers/json"))
    assert old != new
    assert (
        explained(recorded_decision(file, old), sandbox, explainer).operation == "container.create"
    )


@pytest.mark.parametrize("id_", ["0" * 16, "", "../../etc/passwd", "<script>"])
def test_an_id_that_is_not_there_is_told(
    file: Path, sandbox: Sandbox, explainer: Explainer, id_: str
) -> None:
    write(file, sandbox, create())
    with pytest.raises(SetupError, match="no decision"):
        explained(recorded_decision(file, id_), sandbox, explainer)


def test_the_replay_shows_what_the_change_turns_and_nothing_else(
    file: Path, sandbox: Sandbox
) -> None:
    mount = create(Binds=[f"{PATH}:/a"])
    written = write(
        file, sandbox, create(), mount, mount, create(Privileged=True), get("/containers/json")
    )
    found = turned(file, recorded_decision(file, written[1]), sandbox)
    assert found is not None
    assert (found.decided, found.is_cut, found.skipped) == (5, False, 0)
    assert found.counts == {"denied": 0, "allowed": 2, "otherwise": 0}
    (group,) = found.groups
    assert (group.kind, group.requests, list(group.was)) == ("allowed", 2, ["mounts.source"])
    assert {id_ for _, id_ in group.examples} == {written[1], written[2]}


def test_the_replay_tells_what_only_another_policy_would_turn_is_not_of_the_change(
    file: Path, sandbox: Sandbox
) -> None:
    write(file, sandbox, create(Privileged=True), privileged={"allow": True})
    (id_,) = write(file, sandbox, create(Binds=[f"{PATH}:/a"]))
    found = turned(file, recorded_decision(file, id_), sandbox)
    assert found is not None
    assert found.counts["denied"] == 0


def test_the_replay_says_that_it_left_the_oldest_out(
    file: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(file, sandbox, *[create(Binds=[f"{PATH}:/a"])] * 4)
    monkeypatch.setattr(module, "MAX_REPLAYED", 3)
    found = turned(file, recorded_decision(file, written[-1]), sandbox)
    assert found is not None
    assert (found.decided, found.is_cut) == (3, True)
    (group,) = found.groups
    assert written[0] not in {id_ for _, id_ in group.examples}
    monkeypatch.setattr(module, "MAX_SECONDS", -1.0)
    stopped = turned(file, recorded_decision(file, written[-1]), sandbox)
    assert stopped is not None
    assert (stopped.decided, stopped.is_cut) == (0, True)


def test_the_replay_leaves_out_what_is_older_than_a_day(
    file: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id_,) = write(file, sandbox, create(Binds=[f"{PATH}:/a"]))
    monkeypatch.setattr(module, "_SPAN", -module._SPAN)
    found = turned(file, recorded_decision(file, id_), sandbox)
    assert found is not None
    assert (found.decided, found.is_cut) == (0, False)
