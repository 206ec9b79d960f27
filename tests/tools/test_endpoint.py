"""The commands that send requests to dockerd name themselves in them."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest
from click.testing import CliRunner

from authz_plugin.cli import cli
from authz_plugin.journal.own_tools import Tool, agent_of

OPTIONS: Final = {"attack": ["--only=read"]}


class Daemon(socketserver.ThreadingUnixStreamServer):
    """Denies every request, and keeps the User-Agent of each."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.agents: set[str | None] = set()
        super().__init__(path, Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Daemon

    def do_GET(self) -> None:
        self.server.agents.add(self.headers.get("User-Agent"))
        self.send_error(403)

    do_POST = do_HEAD = do_PUT = do_DELETE = do_GET  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[str, Daemon]]:
    path = tmp_path / "docker.sock"
    with Daemon(str(path)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"unix://{path}", server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("tool", get_args(Tool))
def test_each_request_of_a_tool_names_it(daemon: tuple[str, Daemon], tool: Tool) -> None:
    url, server = daemon
    CliRunner().invoke(cli, [tool, "-H", url, *OPTIONS.get(tool, ["--config=/dev/null"])])
    assert server.agents == {agent_of(tool)}
