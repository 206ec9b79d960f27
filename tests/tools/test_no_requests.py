"""Rules that send requests: trials, tests and checks of a policy send none, and say so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from authz_plugin.engine.builtins import NETWORK
from authz_plugin.supervisor.engines import check_policy
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import open_sandbox
from tests.conftest import with_policy
from tests.harness.in_process import run_command

CALLS: Final = {
    "http.send": 'http.send({{"method": "GET", "url": "{url}"}}).status_code == 200',
    "json.match_schema": 'json.match_schema({{}}, {{"$ref": "{url}"}})[0]',
    "json.verify_schema": 'json.verify_schema({{"$ref": "{url}"}})[0]',
    "net.lookup_ip_addr": 'count(net.lookup_ip_addr("localhost")) > 0',
}
"""A condition that holds if the network is there, by its builtin; a name is looked up on this host
alone."""
PS: Final = authz_message(Request("GET", "/containers/json"), Client(""))
INFO: Final = authz_message(Request("GET", "/info"), Client(""))


class Service:
    """An HTTP server on a port of this host; ``asked`` are the paths of the requests to it."""

    def __init__(self) -> None:
        asked = self.asked = []  # type: list[str]

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/schema"


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    with ExitStack() as cleanup:
        thread = threading.Thread(target=running.server.serve_forever)
        cleanup.callback(thread.join)
        cleanup.callback(running.server.server_close)
        cleanup.callback(running.server.shutdown)
        thread.start()
        yield running


def rules(folder: Path, service: Service, name: str) -> Path:
    """A folder with a rule that denies requests about containers if a call succeeds."""
    made = folder / "rules"
    made.mkdir()
    (made / "own.rego").write_text(
        "package docker.authz.rules.custom_own\n\nimport data.docker.authz.denial\n\n"
        'denials contains denial.of("custom.own", "", "", "no", "") if {\n'
        '\tinput.operation.section == "containers"\n'
        f"\t{CALLS[name].format(url=service.url)}\n}}\n"
    )
    return made


def test_every_builtin_that_can_send_requests_is_tried_here() -> None:
    assert CALLS.keys() == NETWORK.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_trial_of_a_rule_that_sends_requests_sends_none_and_says_so(
    tmp_path: Path, service: Service, name: str
) -> None:
    settings = with_policy(policies=str(rules(tmp_path, service, name)), profile="production")
    with open_sandbox(settings) as sandbox:
        listed = sandbox.judge(PS)
        assert not listed.allow
        assert [denial.rule for denial in listed.record.denials] == ["request.engine"]
        assert f"a rule calls {name}, which can send requests; a trial sends none" in listed.message
        assert sandbox.judge(INFO).allow  # the rule says nothing about it
    assert service.asked == []


def test_a_tool_that_has_the_plugin_decide_as_well_lets_its_rules_send(
    tmp_path: Path, service: Service
) -> None:
    settings = with_policy(policies=str(rules(tmp_path, service, "http.send")))
    with open_sandbox(settings, sends=True) as sandbox:
        assert [denial.rule for denial in sandbox.judge(PS).record.denials] == ["custom.own"]
    assert service.asked == ["/schema"]


@pytest.mark.parametrize("engine", ["auto", "opa"])
def test_a_check_of_rules_that_send_requests_sends_none(
    tmp_path: Path, service: Service, engine: str
) -> None:
    own = rules(tmp_path, service, "http.send")
    rule = own / "own.rego"
    rule.write_text(rule.read_text().replace('\tinput.operation.section == "containers"\n', ""))
    bundle = check_policy(with_policy(policies=str(own), engine=engine), tmp_path / "checked")
    assert "custom_own" in bundle.packages
    assert service.asked == []


def test_rules_that_send_requests_are_not_measured(tmp_path: Path, service: Service) -> None:
    own = rules(tmp_path, service, "http.send")
    done = run_command(tmp_path, "policy", "bench", f"--policies={own}", "--config=/dev/null")
    assert done.returncode == 1
    assert "the policy calls http.send, which can send requests: it is not measured" in done.stderr
    assert service.asked == []


def test_tests_of_rules_send_no_requests_and_can_replace_them(
    tmp_path: Path, service: Service
) -> None:
    own = rules(tmp_path, service, "http.send")
    (own / "own_test.rego").write_text(
        "package docker.authz.rules.custom_own_test\n\n"
        "import data.docker.authz.rules.custom_own\n\n"
        'containers := {"operation": {"section": "containers"}}\n\n'
        "test_real if count(custom_own.denials) == 1 with input as containers\n\n"
        "test_replaced if count(custom_own.denials) == 1 with input as containers\n"
        "\twith http.send as answered\n\n"
        'answered(_) := {"status_code": 200}\n\n'
        "test_operand if http.send(\n"
        f'\t{{"method": "GET", "url": "{service.url}"}},\n).status_code == count(containers)\n'
    )
    done = run_command(tmp_path, "policy", "test", str(own))
    assert done.returncode == 3
    assert "failed: docker.authz.rules.custom_own_test.test_real\n" in done.stdout
    assert "note: a rule calls http.send, which fails here" in done.stdout
    assert "1 passed, 2 failed" in done.stdout
    report = json.loads(run_command(tmp_path, "policy", "test", str(own), "--json").stdout)
    assert report["sending"] == ["http.send"]
    assert service.asked == []
