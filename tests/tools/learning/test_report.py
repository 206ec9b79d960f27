"""A proposal as text is the configuration that it says, whatever clients are called."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from authz_plugin.journal.recording import AuditedDecision
from authz_plugin.tools.config_changes.steps import ConfigChange
from authz_plugin.tools.learning.proposal import Grant, Proposal, propose
from authz_plugin.tools.learning.report import to_document, to_text
from authz_plugin.tools.learning.survey import Survey, Tally
from authz_plugin.tools.sandbox import Sandbox
from tests.tools.learning.days import create, day, get, post


def proposal(settings: dict[str, Any], *grants: Grant, survey: Survey | None = None) -> Proposal:
    return Proposal(settings, list(grants), survey or Survey(), [])


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = (
    st.none() | st.booleans() | st.integers() | TEXTS
    | st.sampled_from(["no", "1e3", "~", "=", "0x1", "- a", "a: b", "a #b", "%", "@", "NULL"])
)  # fmt: skip
MAPS = st.dictionaries(TEXTS, SCALARS, max_size=3)
SETTINGS = st.dictionaries(
    TEXTS,
    SCALARS | st.lists(SCALARS, max_size=3) | st.lists(MAPS, max_size=2) | MAPS
    | st.dictionaries(TEXTS, MAPS | st.lists(MAPS, max_size=2), max_size=2),
    max_size=3,
)  # fmt: skip
"""All forms that a configuration has."""


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@given(SETTINGS)
def test_what_is_written_is_what_is_read(settings: dict[str, Any]) -> None:
    settings = {"profile": "closed", **settings}
    assert read(to_text(proposal(settings))) == settings


@given(TEXTS, TEXTS)
def test_a_remark_stays_a_remark_whatever_a_client_writes(value: str, caller: str) -> None:
    tally = Tally()
    record = {"user": caller, "certificate": "", "decision_id": "0" * 16}
    tally.count(AuditedDecision(1, record, None))
    change = ConfigChange("mounts.source", value, (), f"danger of {value}")
    asked = {("", change): tally}
    found = Survey(withheld=asked, granted=asked, not_grantable={("a.b", value): tally})
    grant = Grant("", ("networks", "join"), "shop", is_entry=True, tally=tally)
    grant.dangers, grant.of = {value}, {value, caller}
    settings = {"profile": "closed", "networks": {"join": ["shop"]}}
    text = to_text(proposal(settings, grant, survey=found))
    assert read(text) == settings
    assert all(character.isprintable() or character == "\n" for character in text)


def test_beside_a_grant_stand_its_number_and_its_decisions(sandbox: Sandbox) -> None:
    recordings = day(sandbox, [get("/info"), get("/info"), create(Binds=["/srv/a:/a:ro"])])
    text = to_text(propose(sandbox, lambda: iter(recordings), ()))
    first, second, third = (recording.record["decision_id"] for recording in recordings)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"system.info: allow # 2 times, e.g. {first}, {second}" in lines
    assert f"- path: /srv/a # once, e.g. {third}" in lines
    assert "# 3 of 3 requests would be allowed." in lines
    assert "Withheld" not in text


def test_what_is_withheld_and_refused_stands_below_with_what_it_means(sandbox: Sandbox) -> None:
    requests = [create(Privileged=True), create(NetworkMode="*"), get("/info")]
    recordings = day(sandbox, requests, user="alice")
    text = to_text(propose(sandbox, lambda: iter(recordings), ()))
    below = text.partition("# Withheld")[2]
    assert "--grant privileged.container" in below
    assert "a privileged container has full control of the host" in below
    assert f"once, by alice, e.g. {recordings[0].record['decision_id']}" in below
    assert "networks.join: joining network * is not allowed" in below
    assert "1 of 3 requests would be allowed; the others stand at the end." in text


def test_what_is_to_be_named_is_quoted_for_a_shell(sandbox: Sandbox) -> None:
    recordings = day(sandbox, [create(Binds=["/home/x; $(reboot):/x"])])
    text = to_text(propose(sandbox, lambda: iter(recordings), ()))
    assert "#   --grant 'mounts.source=/home/x; $(reboot)'\n" in text
    named = propose(sandbox, lambda: iter(recordings), ["mounts.source=/home/x; $(reboot)"])
    assert named.survey.allowed == 1


def test_what_was_named_says_so_where_it_stands(sandbox: Sandbox) -> None:
    recordings = day(sandbox, [create(Privileged=True, Binds=["/var/run/docker.sock:/s"])])
    named = ("privileged.container", "mounts.source", "mounts.protected")
    text = to_text(propose(sandbox, lambda: iter(recordings), named))
    lines = [line.strip() for line in text.splitlines()]
    switch = next(i for i, line in enumerate(lines) if line.startswith("allow: true"))
    assert (
        lines[switch - 1]
        == "# named with --grant: a privileged container has full control of the host"
    )
    assert any(line.startswith("# without /var/run/docker.sock, named with") for line in lines)


def test_the_document_has_all_of_it(sandbox: Sandbox) -> None:
    recordings = day(sandbox, [create(Privileged=True), create(Binds=["/srv/a:/a"])])
    document = json.loads(json.dumps(to_document(propose(sandbox, lambda: iter(recordings), ()))))
    assert document["configuration"]["mounts"] == {"allow": [{"path": "/srv/a"}]}
    (mount,) = [grant for grant in document["grants"] if grant["key"] == "mounts.allow"]
    assert mount["value"] == {"path": "/srv/a"}
    assert mount["rules"] == ["mounts.source"]
    assert mount["examples"] == [recordings[1].record["decision_id"]]
    assert [withheld["grant"] for withheld in document["withheld"]] == ["privileged.container"]
    assert (document["allowed"], document["happened"]) == (1, 2)


def test_a_proposal_holds_no_secret(sandbox: Sandbox) -> None:
    env = {"Env": ["TOKEN=hunter2"], "Cmd": ["login", "hunter2"]}
    requests = [create(env), create(env, Privileged=True), post("/secrets/create", {"Data": ""})]
    recordings = day(sandbox, requests)
    found = propose(sandbox, lambda: iter(recordings), ())
    assert "hunter2" not in to_text(found) + json.dumps(to_document(found))
