"""The installed command: it prints a link, and ends without leaving anything behind."""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.journal.records import NO, create
from tests.tools.console.audited import decision, write, writing

PROGRAM: Final = Path(sys.executable).with_name("opa-authz")


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    file = tmp_path / "audit.jsonl"
    with writing(file) as book:
        write(book, decision(create(), NO))
    return file


@contextmanager
def running(
    audit: Path, listen: str, config: str | Path = "/dev/null"
) -> Iterator[subprocess.Popen[str]]:
    """The command in the foreground, until its end, which Ctrl-C brings at the latest."""
    options = ["--config", str(config), "--file", str(audit), "--listen", listen]
    with subprocess.Popen(
        [str(PROGRAM), "console", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def printed_link(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said, link = process.stdout.readline(), process.stdout.readline().strip()
    assert said == "Open this link; it is good once and for ten minutes:\n"
    return link


def curl(*arguments: str | Path) -> str:
    command = ["curl", "--silent", "--max-time", "10", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_the_link_opens_the_page_and_ctrl_c_ends_it(audit: Path, tmp_path: Path) -> None:
    with running(audit, "127.0.0.1:0") as process:
        link = printed_link(process)
        page, _, _ = link.rpartition("/enter")
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+/enter\?token=[\w-]{43}", link)
        cookies = tmp_path / "cookies"
        assert "Open the console" in curl("--cookie-jar", cookies, link)
        assert "mounts.source" in curl("--cookie", cookies, page)
        with subprocess.Popen(
            ["curl", "--silent", "--no-buffer", "--cookie", cookies, f"{page}/stream"],
            stdout=subprocess.PIPE,
        ) as streaming:
            assert streaming.stdout is not None
            assert streaming.stdout.readline() == b"retry: 1000\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert streaming.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_link_is_there_when_systemd_is_told_that_it_is_ready(
    audit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with running(audit, "127.0.0.1:0") as process:
            assert b"READY=1" in notified.recv(4096)
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], 0)[0] != []
            assert "Open the console" in curl(printed_link(process))


def test_a_signal_has_it_print_another_link(audit: Path) -> None:
    with running(audit, "127.0.0.1:0") as process:
        first = printed_link(process)
        assert "svg" in curl(f"{first.rpartition('/')[0]}/static/icon.svg")  # it is served
        process.send_signal(signal.SIGUSR1)
        second = printed_link(process)
        assert "Forbidden" in curl(first)
        assert "Open the console" in curl(second)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_unix_socket_is_for_this_user_and_is_removed(audit: Path, tmp_path: Path) -> None:
    place = tmp_path / "console.sock"
    with running(audit, f"unix:{place}") as process:
        link = printed_link(process)
        assert place.stat().st_mode & 0o777 == 0o600
        assert "Open the console" in curl("--unix-socket", place, link)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert not place.exists()


def test_decisions_are_shown_where_the_fleets_policy_is_not(audit: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    key = tmp_path / "key.pem"
    key.write_text("a key")
    fleet = {"url": "https://fleet.example", "bundle": "b", "key": str(key)}
    config.write_text(json.dumps({"fleet": fleet}))
    with running(audit, "127.0.0.1:0", config) as process:
        cookies = tmp_path / "cookies"
        link = printed_link(process)
        curl("--cookie-jar", cookies, link)
        assert "mounts.source" in curl("--cookie", cookies, link.rpartition("/")[0] + "/")


def test_a_port_that_is_in_use_is_told(audit: Path) -> None:
    with running(audit, "127.0.0.1:0") as process:
        port = printed_link(process).split(":")[2].partition("/")[0]
        with running(audit, f"127.0.0.1:{port}") as second:
            _, error = second.communicate(timeout=20)
            assert (second.returncode, "Address already in use" in error) == (1, True)


def test_an_audit_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with running(tmp_path / "audit.jsonl", "127.0.0.1:0") as process:
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (1, f"opa-authz: {tmp_path}/audit.jsonl is not there\n")
