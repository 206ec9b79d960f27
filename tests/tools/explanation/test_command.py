"""``opa-authz explain`` with what was recorded of a decision."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from authz_plugin import policy, settings
from authz_plugin.cli import cli
from authz_plugin.journal.chain import read_links
from authz_plugin.settings import Key
from authz_plugin.tools.explanation.stub_daemon import CONTAINER_ID, StubDaemon
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.harness.client import call
from tests.tools.learning.days import create, write_day


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    flags: dict[Key, Any] = {("config",): "/dev/null", ("profile",): "production"}
    with open_sandbox(settings.load(flags, {}, policy.config_schema())) as opened:
        yield opened


@pytest.fixture
def file(sandbox: Sandbox, tmp_path: Path) -> Path:
    found = tmp_path / "audit.jsonl"
    write_day(found, sandbox, [create(Binds=["/srv/a:/a"], Memory=1 << 26)])
    return found


def explain(file: Path, *options: str) -> Result:
    decisions = [link.document for link in read_links(file) if "verdict" in link.document]
    (id_,) = (str(decision["decision_id"]) for decision in decisions)
    return CliRunner().invoke(cli, ["explain", f"--log={file}", *options, id_])


def test_a_recorded_decision_is_explained_with_its_facts_and_what_would_allow_it(
    file: Path,
) -> None:
    shown = explain(file, "--profile=production")
    assert shown.exit_code == 3
    assert "/srv/a (does not exist) -> /a, bind, writable [HostConfig.Binds[0]]" in shown.stdout
    assert "mounts.source  HostConfig.Binds[0]" in shown.stdout
    change = json.loads(explain(file, "--profile=production", "--json").stdout)
    assert change["requests"][0]["change"]["settings"]["mounts"]["allow"][0]["path"] == "/srv/a"
    assert "input" not in change["records"][0]


def test_the_denial_comes_before_the_facts(file: Path) -> None:
    _, mark, shown = explain(file, "--profile=production").stdout.partition("DENIED  decision")
    assert mark
    places = [shown.index(text) for text in ("mounts.source  H", "smallest change", "  caller  ")]
    assert places == sorted(places)


def sender(folder: Path, *requests: tuple[str, str, str]) -> str:
    """A program that sends requests (method, path and body) where the Docker CLI would."""
    program = folder / "docker"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import http.client, os, socket\n"
        f"for method, path, body in {requests!r}:\n"
        "    made = http.client.HTTPConnection('docker')\n"
        "    made.sock = socket.socket(socket.AF_UNIX)\n"
        "    made.sock.connect(os.environ['DOCKER_HOST'].removeprefix('unix://'))\n"
        "    kind = {'Content-Type': 'application/json'} if body else {}\n"
        "    made.request(method, path, body, kind)\n"
        "    made.getresponse().read()\n"
    )
    program.chmod(0o755)
    return str(program)


def test_what_is_denied_comes_before_what_is_allowed(tmp_path: Path) -> None:
    program = sender(
        tmp_path, ("GET", "/info", ""), ("POST", "/volumes/create", ""), ("GET", "/version", "")
    )
    words = ["explain", "--config=/dev/null", "--", program, "run"]
    shown = CliRunner().invoke(cli, words).stdout
    verdicts = [
        line.split()[0] for line in shown.splitlines() if line[:7] in {"DENIED ", "ALLOWED"}
    ]
    assert verdicts == ["DENIED", "ALLOWED", "ALLOWED"]
    assert shown.count("  caller  ") == 1
    assert "--verbose prints how the allowed ones were read." in shown
    words.insert(1, "--verbose")
    assert CliRunner().invoke(cli, words).stdout.count("  caller  ") == 3


def test_what_a_command_creates_may_be_started_on_a_host_that_has_other_containers(
    tmp_path: Path,
) -> None:
    for name in ("containers", "volumes"):
        (tmp_path / "data" / name).mkdir(parents=True)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"profile: devcontainer\ndata_root: {tmp_path}/data\nmounts: {{allow: [{{path: /srv}}]}}\n"
    )
    body = json.dumps({"Image": "alpine"})
    program = sender(
        tmp_path,
        ("POST", "/v1.44/containers/create", body),
        ("POST", f"/v1.44/containers/{CONTAINER_ID}/start", ""),
        ("POST", "/v1.44/containers/none/start", ""),
    )
    shown = CliRunner().invoke(cli, ["explain", f"--config={config}", "--", program, "run"])
    assert "3 requests, 1 denied" in shown.stdout
    assert "DENIED  POST /v1.44/containers/none/start" in shown.stdout
    assert "what is mounted there is not known: there is no container none" in shown.stdout


def test_a_container_that_a_command_inspects_keeps_its_name(tmp_path: Path) -> None:
    with StubDaemon(str(tmp_path / "docker.sock")) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        answer = call(tmp_path / "docker.sock", "GET", "/v1.44/containers/web/json")
    assert json.loads(answer.text)["Id"] == "web"


def test_what_the_page_shows_of_what_is_withheld_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/explain.md").read_text()
    section = page.partition("\n## What is withheld\n")[2].partition("\n## ")[0]
    pairs = re.findall(r"```sh\nopa-authz ([^`]+)\n```\n\n```console\n([^`]+)```", section)
    assert len(pairs) == 2
    body = json.dumps({"Image": "alpine", "HostConfig": {"CapAdd": ["SYS_ADMIN"]}})
    sender(tmp_path, ("POST", "/v1.44/containers/create", body))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("OPA_AUTHZ_CONFIG", "/dev/null")
    for command, printed in pairs:
        done = CliRunner().invoke(cli, shlex.split(command))
        assert printed in done.stdout
        assert done.exit_code == 3


def test_a_name_to_grant_is_one_of_a_rule_and_of_what_is_asked(file: Path) -> None:
    done = explain(file, "--profile=production", "--grant=devices.request")
    assert done.stderr == "nothing asked for devices.request\n"
    wrong = explain(file, "--profile=production", "--grant=devices.everything")
    assert str(wrong.exception) == (
        "--grant: devices.everything is no rule; docs/reference/rules lists them"
    )


def test_it_is_decided_by_the_policy_that_is_asked_now(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("profile: production\nmounts: {allow: [{path: /srv}]}\n")
    shown = explain(file, f"--config={config}")
    assert "ALLOWED  decision" in shown.stdout


def test_without_a_recorded_input_the_record_is_shown_and_says_so(file: Path) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**line, "input": None}) + "\n" for line in lines))
    decision = next(line["decision_id"] for line in lines if "verdict" in line)
    shown = CliRunner().invoke(cli, ["explain", f"--log={file}", decision])
    assert "No input was recorded (audit.inputs)" in shown.stdout
    assert "once more" not in shown.stdout
    assert "A bind mount must lie below an allowed path" in shown.stdout


def test_with_a_recorded_input_rules_are_described_once(file: Path) -> None:
    shown = explain(file, "--profile=production").stdout
    assert shown.count("A bind mount must lie below an allowed path") == 1
    assert "  denied by       mounts.source HostConfig.Binds[0]\n" in shown
