"""What another policy decides otherwise is found, in each direction, and nothing else."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from authz_plugin import policy
from authz_plugin.cli import cli
from authz_plugin.errors import SettingsError, SetupError
from authz_plugin.journal.recording import AuditedDecision
from authz_plugin.tools.replay.changes import Comparison, compare
from authz_plugin.tools.replay.verdicts import NotReplayed, replay_decisions, replay_messages
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.corpus import FILE as CORPUS
from tests.tools.learning.days import create, day, get, message, post, send, write_day

PRODUCTION = {"profile": "production"}
DAY = [
    get("/containers/json"),
    get("/volumes"),
    create(),
    create(Binds=["/srv/a:/a"]),
    create(Privileged=True),
    send("/containers/web/stop"),
]


@pytest.fixture(scope="module")
def production() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(**PRODUCTION)) as opened:
        yield opened


def other(sandbox: Sandbox, **configuration: Any) -> Sandbox:
    """The same OPA with another configuration."""
    found = copy.copy(sandbox)
    found.config = sandbox.configured({**PRODUCTION, **configuration})
    return found


def replayed(
    production: Sandbox,
    recordings: list[AuditedDecision],
    former: Sandbox | None = None,
    **configuration: Any,
) -> tuple[Comparison, NotReplayed]:
    not_replayed = NotReplayed()
    sandbox = other(production, **configuration)
    return compare(replay_decisions(iter(recordings), sandbox, former, not_replayed)), not_replayed


def summary_of(
    comparison: Comparison,
) -> list[tuple[str, str, int, tuple[str, ...], tuple[str, ...]]]:
    return [
        (
            group.kind,
            group.operation,
            group.requests,
            group.examples[0].was.rules,
            group.examples[0].would_be.rules,
        )
        for group in comparison.groups
    ]


def test_the_same_policy_changes_nothing(production: Sandbox) -> None:
    comparison, not_replayed = replayed(production, day(production, DAY))
    assert (comparison.requests, comparison.is_same) == (len(DAY), True)
    assert comparison.groups == []
    assert not_replayed == NotReplayed()


@pytest.mark.parametrize(
    ("configuration", "changes"),
    [
        (
            {"operations": {"container.stop": "deny"}},
            [("denied", "container.stop", 1, (), ("sections.operation",))],
        ),
        (
            {"sections": {"volumes": "read"}},
            [("allowed", "volume.list", 1, ("sections.operation",), ())],
        ),
        (
            {"mounts": {"allow": [{"path": "/srv"}]}},
            [("allowed", "container.create", 1, ("mounts.source",), ())],
        ),
        (
            {"mounts": {"allow": [{"path": "/srv"}], "deny": ["/srv/a"]}},
            [("otherwise", "container.create", 1, ("mounts.source",), ("mounts.protected",))],
        ),
        (
            {"images": {"allow": ["registry.local/*"]}, "privileged": {"allow": True}},
            [
                ("denied", "container.create", 1, (), ("images.source",)),
                (
                    "otherwise", "container.create", 1,
                    ("mounts.source",), ("images.source", "mounts.source"),
                ),
                ("otherwise", "container.create", 1, ("privileged.container",), ("images.source",)),
            ],
        ),
        ({"mode": "warn"}, [
            ("allowed", "volume.list", 1, ("sections.operation",), ()),
            ("allowed", "container.create", 1, ("mounts.source",), ()),
            ("allowed", "container.create", 1, ("privileged.container",), ()),
        ]),
        ({"devices": {"allow": ["/dev/kvm"]}, "labels": {"reserved": ["traefik.*"]}}, []),
    ],
)  # fmt: skip
def test_every_decision_that_changes_is_found_and_no_other(
    production: Sandbox, configuration: dict[str, Any], changes: list[Any]
) -> None:
    comparison, _ = replayed(production, day(production, DAY), **configuration)
    assert summary_of(comparison) == changes
    assert comparison.changed.total() == sum(change[2] for change in changes)
    assert comparison.requests == len(DAY)


def test_what_was_only_warned_about_is_denied_when_it_is_enforced(production: Sandbox) -> None:
    recordings = day(production, DAY, {**PRODUCTION, "mode": "warn"})
    comparison, _ = replayed(production, recordings)
    assert {group.examples[0].would_be.rules for group in comparison.groups} == {
        ("sections.operation",), ("mounts.source",), ("privileged.container",),
    }  # fmt: skip
    for group in comparison.groups:
        assert group.kind == "denied"
        assert group.examples[0].was.warnings == group.examples[0].would_be.rules


def test_a_group_has_all_that_change_alike_with_examples_and_callers(production: Sandbox) -> None:
    recordings = day(production, [get("/volumes")] * 5) + day(
        production, [get("/volumes"), get("/volumes?x=1")], user="alice"
    )
    comparison, _ = replayed(production, recordings, sections={"volumes": "read"})
    (group,) = comparison.groups
    assert (group.requests, dict(group.callers)) == (7, {"unknown": 5, "alice": 2})
    assert [example.decision_id for example in group.examples] == [
        recording.record["decision_id"] for recording in recordings[:3]
    ]
    assert dict(comparison.rules["allowed"]) == {"sections.operation": 7}


def test_two_policies_are_compared_whatever_was_decided_then(production: Sandbox) -> None:
    recordings = day(production, DAY, {"profile": "closed", "mode": "warn"})
    comparison, _ = replayed(production, recordings, former=production)
    assert comparison.is_same
    comparison, _ = replayed(
        production, recordings, former=production, sections={"volumes": "read"}
    )
    assert summary_of(comparison) == [("allowed", "volume.list", 1, ("sections.operation",), ())]


def test_messages_are_decided_by_both_policies_as_the_plugin_does(production: Sandbox) -> None:
    messages = [("a", message(get("/volumes"))), ("b", b"nonsense"), ("c", message(create()))]
    sandbox = other(production, sections={"volumes": "read"})
    comparison = compare(replay_messages(messages, sandbox, production))
    (group,) = comparison.groups
    assert (comparison.requests, group.examples[0].title, group.kind) == (3, "a", "allowed")


def test_decisions_that_are_not_made_again_are_counted_by_reason(production: Sandbox) -> None:
    words = {"containers": {"deny_commands": ["*sshd"]}}
    sshd = post("/containers/web/exec", {"Cmd": ["sshd"]})
    config = {**PRODUCTION, **words, "sections": {"exec": "write"}}
    (undecidable,) = day(production, [sshd], config)
    assert undecidable.record["rules"] == ["containers.command Cmd"]
    (refused,) = day(production, [send("/nonsense")])
    (allowed,) = day(production, [get("/info")])
    unrecorded = allowed._replace(document=None)
    unwritten = allowed._replace(
        record={**allowed.record, "verdict": "deny", "rules": ["request.audit"]}
    )
    comparison, not_replayed = replayed(
        production, [undecidable, refused, unrecorded, unwritten, allowed]
    )
    assert (comparison.requests, comparison.is_same) == (1, True)
    assert not_replayed == NotReplayed(refused=2, unrecorded=1, undecidable=1)


def test_thousands_of_decisions_take_seconds(production: Sandbox) -> None:
    batch = day(production, [create(Binds=[f"/srv/{i}:/a"]) for i in range(20)])
    began = time.perf_counter()
    comparison, _ = replayed(production, batch * 500, mounts={"allow": [{"path": "/srv/7"}]})
    assert time.perf_counter() - began < 10
    assert comparison.requests == 10_000
    assert comparison.changed == {"allowed": 500}


@pytest.fixture(scope="module")
def audit_file(production: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    write_day(file, production, DAY)
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)])


def settings_file(folder: Path, **configuration: Any) -> Path:
    file = folder / "new.yaml"
    file.write_text(json.dumps({**PRODUCTION, **configuration}))
    return file


def test_the_exit_status_says_whether_anything_changes(audit_file: Path, tmp_path: Path) -> None:
    same = run("--file", audit_file, "--config", settings_file(tmp_path))
    assert (same.exit_code, same.stdout) == (0, "6 requests, 6 as before, 0 otherwise\n")
    new = settings_file(tmp_path, sections={"volumes": "read"})
    changed = run("--file", audit_file, "--config", new)
    assert changed.exit_code == 3
    assert "Newly allowed: 1 request\n  by rule: sections.operation (1)\n" in changed.stdout
    assert "    was        denied by sections.operation\n" in changed.stdout
    assert changed.stdout.endswith("6 requests, 5 as before, 1 otherwise\n")


def test_the_document_has_all_of_it(audit_file: Path, tmp_path: Path) -> None:
    config = settings_file(tmp_path, operations={"container.stop": "deny"})
    document = json.loads(run("--file", audit_file, "--config", config, "--json").stdout)
    assert document["version"] == 1
    assert (document["requests"], document["unchanged"]) == (6, 5)
    assert document["changed"] == {"denied": 1, "allowed": 0, "otherwise": 0}
    (group,) = document["groups"]
    assert group["was"]["allow"] is True
    assert group["would_be"]["rules"] == ["sections.operation"]
    assert group["examples"][0]["request"] == "container.stop web"
    assert len(group["examples"][0]["decision_id"]) == 16


def test_what_recorded_inputs_do_not_tell_is_noted(audit_file: Path, tmp_path: Path) -> None:
    config = settings_file(tmp_path, containers={"deny_commands": ["*sshd"]})
    done = run("--file", audit_file, "--config", config)
    assert "Note: containers.command says nothing here" in done.stdout
    (tmp_path / "rules").mkdir()
    done = run("--file", audit_file, "--profile=production", "--policies", tmp_path / "rules")
    assert "Note: rules of your own see ***" in done.stdout


def test_edited_policies_are_tried(audit_file: Path, tmp_path: Path) -> None:
    shutil.copytree(policy.SHIPPED, tmp_path / "policies")
    rule = tmp_path / "policies" / policy.ROOT / "rules/privileged/privileged.rego"
    rule.write_text(rule.read_text().replace("Privileged == false", "Privileged in {true, false}"))
    done = run("--file", audit_file, "--profile=production", "--policy", tmp_path / "policies")
    assert done.exit_code == 3
    assert "by rule: privileged.container (1)" in done.stdout


def test_a_recorded_corpus_is_compared_under_two_profiles(tmp_path: Path) -> None:
    lines = CORPUS.read_text().splitlines()[:80]
    corpus = tmp_path / "requests.jsonl"
    corpus.write_text("\n".join(lines))
    program = Path(sys.executable).with_name("opa-authz")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPA_AUTHZ_")}
    done = subprocess.run(
        [program, "replay", str(corpus), "--against=production", "--profile=baseline", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (3, "")
    document = json.loads(done.stdout)
    assert document["requests"] == len(lines)
    assert document["rules"]["denied"] == {"ports.range": document["changed"]["denied"]}
    assert document["rules"]["allowed"].keys() == {"sections.operation", "volumes.named"}


def test_messages_and_requests_are_read_from_files_and_folders(tmp_path: Path) -> None:
    secret = message(get("/volumes?token=hunter2"))
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests/a.json").write_bytes(secret)
    (tmp_path / "requests/b.http").write_text("GET /v1.44/volumes HTTP/1.1\nHost: docker\n\n")
    lines = [secret.decode(), json.dumps({"method": "GET", "uri": "/volumes"})]
    (tmp_path / "requests/c.jsonl").write_text("\n".join(lines) + "\n")
    done = run(tmp_path / "requests", "--against", "production", "--profile", "devcontainer")
    assert done.exit_code == 3
    assert "volume.list: 4 requests by unknown" in done.stdout
    assert "GET /v1.44/volumes?…" in done.stdout
    assert "hunter2" not in done.stdout


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"method": "GET", "uri": "/info"}\n{"a": 1}\n', ":2: is neither a message"),
        ('{"method": "GET"}\n{nonsense}\n', ":2: is not JSON"),
        ('{"decision_id": "1"}\n{"decision_id": "2"}\n', ":1: is a decision: name an audit file"),
        ('{"decision_id": "1"}', ": is a decision record"),
        ("nonsense", ": 'nonsense' does not begin an HTTP request"),
    ],
)
def test_a_file_without_requests_is_an_error_with_its_line(
    tmp_path: Path, content: str, problem: str
) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text(content)
    done = run(file, "--against", "production")
    assert isinstance(done.exception, SetupError)
    assert str(done.exception).startswith(f"{file}{problem}")


def test_recorded_requests_need_something_to_be_compared_with(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(message(get("/info")))
    done = run(file)
    assert isinstance(done.exception, SettingsError)
    assert "--against: is needed" in str(done.exception)
    done = run(file, "--against", "production", "--since", "1h")
    assert isinstance(done.exception, SettingsError)


def test_a_body_that_is_written_down_as_text_is_decided_on(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    body = json.dumps({"Image": "a", "HostConfig": {"Privileged": True}})
    headers = {"Content-Type": "application/json"}
    line = {"method": "POST", "uri": "/containers/create", "headers": headers, "body": body}
    whole = {
        "RequestMethod": "POST",
        "RequestUri": "/containers/create",
        "RequestHeaders": headers,
        "RequestBody": base64.b64encode(body.encode()).decode(),
    }
    file.write_text(f"{json.dumps(line)}\n{json.dumps(whole)}\n")
    (tmp_path / "old.yaml").write_text("profile: production\nprivileged: {allow: true}\n")
    done = run(file, "--against", tmp_path / "old.yaml", "--profile", "production", "--json")
    document = json.loads(done.stdout)
    assert document["rules"]["denied"] == {"privileged.container": 2}
