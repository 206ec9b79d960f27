"""Opens the sockets that the plugin listens on, with owner and mode."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from pathlib import Path
from typing import Final

from authz_plugin.errors import SetupError

_BACKLOG: Final = 512
_ACTIVATED_FD: Final = 3


def open_listener(path: Path, group: str | None = None, listen: str | None = None) -> socket.socket:
    """Return the socket that systemd passed, or open one.

    ``listen`` is ``host:port``; if it is None, a unix socket is created at ``path``, which root and
    the members of ``group`` may use.

    A socket file on which no process listens is replaced. Raises ``SetupError`` if a process
    listens on it, or if the address cannot be opened.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=_ACTIVATED_FD)
    if listen is not None:
        return _open_tcp(listen)
    return _open_unix(path, group)


def open_address(address: str) -> socket.socket:
    """Listen on ``unix:/path`` (for this user only) or ``host:port``; raises ``SetupError``."""
    if address.startswith("unix:"):
        return _open_unix(Path(address.removeprefix("unix:")), None)
    return _open_tcp(address)


def _open_tcp(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        return socket.create_server(
            (host.strip("[]"), int(port)),
            family=socket.AF_INET6 if host.startswith("[") else socket.AF_INET,
            backlog=_BACKLOG,
        )
    except (OSError, OverflowError) as error:
        raise SetupError(f"cannot listen on {listen}: {error}") from error


def _open_unix(path: Path, group: str | None) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_stale(path)
        umask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(umask)
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
            path.chmod(0o660)
        listener.listen(_BACKLOG)
    except KeyError:
        listener.close()
        path.unlink(missing_ok=True)
        raise SetupError(f"server.group: there is no group {group}") from None
    except OSError as error:
        listener.close()
        raise SetupError(f"cannot listen on {path}: {error.strerror or error}") from error
    except SetupError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SetupError(f"{path} is there and is not a socket: remove it")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno in {errno.ECONNREFUSED, errno.ENOENT}:
                path.unlink(missing_ok=True)
                return
            raise
    raise SetupError(f"another process serves {path}: stop it first")
