"""``opa-authz learn`` as an operator runs it, on an audit file."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz_plugin.cli import cli
from authz_plugin.errors import SettingsError, SetupError
from authz_plugin.journal.audit import AuditFile, AuditOptions
from authz_plugin.journal.own_tools import agent_of
from authz_plugin.tools.commands.audit_options import AuditSpan
from authz_plugin.tools.sandbox import Sandbox
from tests.journal.records import record
from tests.tools.learning.days import create, get, write_day


@pytest.fixture(scope="module")
def file(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("day") / "audit.jsonl"
    write_day(found, sandbox, [get("/info"), create(Binds=["/srv/a:/a"]), create(PidMode="host")])
    return found


def run(*arguments: object, fails: type[SetupError] | None = None) -> Result:
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if fails is not None:
        assert isinstance(done.exception, fails), done.output
    else:
        assert done.exit_code == 0, done.output
    return done


def test_what_it_prints_is_a_settings_file(file: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("opa-authz")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPA_AUTHZ_")}
    done = subprocess.run(
        [program, "learn", f"--file={file}", "--profile=production"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    proposal = tmp_path / "proposal.yaml"
    proposal.write_text(done.stdout)
    assert "sound: profile closed" in run("check", "--config", proposal).stdout
    assert "#   --grant namespaces.host=pid:host" in done.stdout


def test_names_grant_and_what_nothing_asked_for_is_told_apart(file: Path) -> None:
    names = ("--grant", "namespaces.host=pid:host", "--grant", "devices.request")
    done = run("learn", "--file", file, "--json", *names)
    document = json.loads(done.stdout)
    assert document["version"] == 1
    assert document["configuration"]["namespaces"] == {"allow": ["pid:host"]}
    assert document["withheld"] == []
    assert done.stderr == "nothing asked for devices.request\n"


def test_only_what_is_in_the_span_counts(file: Path) -> None:
    def found(since: datetime | None, until: datetime | None) -> int:
        return len(list(AuditSpan(file, since, until, lambda *_: None).decisions()))

    now, hour = datetime.now(UTC), timedelta(hours=1)
    assert found(None, None) == 3
    assert found(now - hour, now + hour) == 3
    assert found(now + hour, None) == found(None, now - hour) == 0
    first = next(AuditSpan(file, None, None, lambda *_: None).decisions())
    moment = datetime.fromisoformat(first.record["timestamp"])
    assert found(moment, None) == 3
    assert found(None, moment) == 0


def test_a_span_without_decisions_is_told(file: Path) -> None:
    done = run("learn", "--file", file, "--until", "2020-01-01", fails=SetupError)
    assert str(done.exception) == f"{file} has no decision of that time"


def test_a_file_without_inputs_says_what_to_set(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditFile(AuditOptions(file=file), lambda _: None)
    assert audit.write([record(), record()])
    audit.close()
    done = run("learn", "--file", file, fails=SetupError)
    assert "has 2 decisions of that time" in str(done.exception)
    assert "set audit.inputs to true and mode to warn" in str(done.exception)


def test_a_day_of_the_own_tools_alone_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    agent = (("User-Agent", agent_of("doctor")),)
    write_day(file, sandbox, [dataclasses.replace(get("/info"), headers=agent)])
    done = run("learn", "--file", file, fails=SetupError)
    assert "of opa-authz's own tools (doctor); --own-tools learns from them" in str(done.exception)
    learned = run("learn", "--file", file, "--json", "--own-tools")
    assert json.loads(learned.stdout)["configuration"]["operations"] == {"system.info": "allow"}


def test_what_was_refused_of_the_own_tools_requests_is_not_listed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    twice = get("/containers/x/logs?stdout=1&stdout=0")
    own = dataclasses.replace(twice, headers=(("User-Agent", agent_of("doctor")),))
    write_day(file, sandbox, [get("/info"), own, twice])
    learned = json.loads(run("learn", "--file", file, "--json").stdout)
    assert [tool["requests"] for tool in learned["own_tools"]] == [1]
    assert [refused["requests"] for refused in learned["refused"]] == [1]


def test_a_name_that_is_no_rule_is_a_mistake(file: Path) -> None:
    done = run("learn", "--file", file, "--grant", "privileged.everything", fails=SettingsError)
    assert (
        str(done.exception)
        == "--grant: privileged.everything is no rule; docs/reference/rules lists them"
    )


def test_no_file_is_a_mistake_too(tmp_path: Path) -> None:
    run("learn", "--config", "/dev/null", fails=SetupError)
    done = run("learn", "--file", tmp_path / "none", fails=SetupError)
    assert str(done.exception) == f"{tmp_path}/none is not there"
