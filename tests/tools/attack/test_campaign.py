"""Campaigns against what is no Docker API: nothing is proven there, and nobody is praised."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.campaign import Campaign
from authz_plugin.tools.attack.catalogue import select
from authz_plugin.tools.attack.model import CatalogueAttack
from authz_plugin.tools.attack.report import Report, lines
from authz_plugin.tools.docker_client import Endpoint
from tests.harness.in_process import run_command

ROWS: Final = tuple(
    attack for attack in select(["scenario", "read", "hidden", "swarm"]) if not attack.grpc
)


class Foreign(BaseHTTPRequestHandler):
    """Gives one answer to everything."""

    status = 404
    content = b"<html>welcome</html>"
    headers_: tuple[tuple[str, str], ...] = (("Content-Type", "text/html"),)

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.parse_request():
            return
        self.send_response(self.status)
        for name, value in self.headers_:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.content)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class _Silent(socketserver.BaseRequestHandler):
    """Hangs up."""


@contextmanager
def serving(folder: Path, handler: type[socketserver.BaseRequestHandler]) -> Iterator[Endpoint]:
    socket = folder / "foreign.sock"
    with socketserver.ThreadingUnixStreamServer(str(socket), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Endpoint(f"unix://{socket}", unix=socket)
        finally:
            server.shutdown()
            thread.join()


def report(endpoint: Endpoint, attacks: tuple[CatalogueAttack, ...] = ROWS) -> Report:
    campaign = Campaign(endpoint, attacks, progress=lambda *_: None)
    results = campaign.run()
    return Report(endpoint.url, campaign.preparation, results, campaign.created_objects)


def test_a_web_server_that_knows_nothing_is_not_praised_for_blocking(tmp_path: Path) -> None:
    with serving(tmp_path, Foreign) as endpoint:
        made = report(endpoint)
    assert {result.outcome for result in made.results} == {"blocked"}
    assert not made.proven
    said = "\n".join(text for _, text in lines(made))
    assert "✗ NOT PROVEN" in said
    assert "no answer was certainly a Docker daemon's" in said
    assert "PASSED" not in said


def test_the_reason_why_nothing_was_compared_with_stands_beside_the_options(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, Foreign) as endpoint:
        made = replace(report(endpoint), uncompared="no plugin serves metrics")
    said = "\n".join(text for _, text in lines(made))
    assert "Configured   not known: no plugin serves metrics\n" in said
    assert "name the plugin's settings: --config, --profile, --policies" in said
    assert made.to_document()["uncompared"] == "no plugin serves metrics"


def test_the_command_lists_what_is_blocked_if_asked_to(tmp_path: Path) -> None:
    listed = "  ✓ 1. Privileged Container Creation (docker run --privileged alpine): blocked by"
    with serving(tmp_path, Foreign) as endpoint:
        words = ("attack", f"--host={endpoint.url}", "--only=scenario.privileged")
        without_metrics = {"OPA_AUTHZ_METRICS_LISTEN": "off"}
        short = run_command(tmp_path, *words, environment=without_metrics)
        full = run_command(tmp_path, *words, "--verbose", environment=without_metrics)
    assert short.returncode == full.returncode == 1
    assert "(metrics.listen: off)\n" in short.stdout
    assert listed not in short.stdout
    assert listed in full.stdout


def test_a_web_server_that_says_yes_to_everything_proves_nothing(tmp_path: Path) -> None:
    class Agreeing(Foreign):
        status = 200

    with serving(tmp_path, Agreeing) as endpoint:
        made = report(endpoint)
    assert {result.outcome for result in made.results} == {"unclear"}
    assert not made.proven
    assert not made.preparation.container.exists


def test_a_server_that_hangs_up_is_an_error_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, _Silent) as endpoint, pytest.raises(EndpointError, match="no answer"):
        report(endpoint)


def test_an_answer_that_does_not_come_is_unclear_and_the_rest_is_tried(tmp_path: Path) -> None:
    class Hanging(Foreign):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if b"/exec" not in self.raw_requestline and self.parse_request():
                self.send_response(403)
                self.end_headers()
            self.close_connection = True

    with serving(tmp_path, Hanging) as endpoint:
        made = report(endpoint, select(["scenario"]))
    unclear = [result.attack.id for result in made.results if result.outcome == "unclear"]
    assert unclear == ["scenario.exec"]
    assert not made.proven
