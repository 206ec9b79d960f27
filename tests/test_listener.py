"""The socket: who may use it, and what happens to one that is left over."""

from __future__ import annotations

import grp
import os
import socket
from pathlib import Path

import pytest

from authz_plugin.errors import SetupError
from authz_plugin.listener import open_listener


def test_only_this_user_may_use_it(tmp_path: Path) -> None:
    with open_listener(tmp_path / "a.sock"):
        assert (tmp_path / "a.sock").stat().st_mode & 0o777 == 0o600


def test_a_group_may_use_it_too_if_the_operator_says_so(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid())
    with open_listener(tmp_path / "a.sock", group=group.gr_name):
        status = (tmp_path / "a.sock").stat()
    assert status.st_mode & 0o777 == 0o660
    assert status.st_gid == group.gr_gid


def test_an_unknown_group_stops_the_start_and_leaves_no_socket(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no-such-group"):
        open_listener(tmp_path / "a.sock", group="no-such-group")
    assert not list(tmp_path.iterdir())


def test_its_folder_is_made(tmp_path: Path) -> None:
    with open_listener(tmp_path / "docker/plugins/a.sock"):
        assert (tmp_path / "docker/plugins/a.sock").is_socket()


def test_one_that_nobody_serves_is_replaced(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "a.sock"))
    stale.close()
    with open_listener(tmp_path / "a.sock"), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(tmp_path / "a.sock"))


def test_one_that_somebody_serves_is_left_to_him(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with open_listener(path):
        with pytest.raises(SetupError, match="another process"):
            open_listener(path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(tmp_path / "a.sock"))


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_not_a_socket_is_never_removed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.sock"
    if kind == "file":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    with pytest.raises(SetupError, match="not a socket"):
        open_listener(path)
    assert path.exists() or path.is_symlink()


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SetupError, match="cannot listen"):
            open_listener(tmp_path, listen=listen)


def test_a_path_that_is_too_long_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot listen"):
        open_listener(tmp_path / ("x" * 200))
