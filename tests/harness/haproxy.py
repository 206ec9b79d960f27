"""HAProxy out of Debian's package, unpacked into the cache as the engines are."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness.engines import CACHE, unpack
from tests.harness.plugin import wait_for

_SUITE: Final = "bookworm"
_PACKAGES: Final = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
_HEAD: Final = """\
global
    maxconn 1000
defaults
    mode http
    timeout client 30s
    timeout connect 5s
    timeout server 30s
    timeout tunnel 30s
"""
_NONE: Final[Mapping[str, str]] = {}


@contextmanager
def running_haproxy(
    folder: Path, frontends: str, listening: Path, environment: Mapping[str, str] = _NONE
) -> Iterator[None]:
    """Run frontends and backends, with nothing but an environment of theirs; ``listening`` is the
    unix socket that is opened last."""
    program, libraries = prepare()
    config, log = folder / "haproxy.cfg", folder / "haproxy.log"
    config.write_text(f"{_HEAD}{frontends}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-db", "-f", config],
            env={"LD_LIBRARY_PATH": libraries, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: _listens(listening) or process.poll() is not None, "HAProxy", 30)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def one_proxy(folder: Path, frontend: str, backend: str = "") -> Iterator[Path]:
    """Run one frontend, with rules (and binds) of its own, in front of a backend; the unix socket
    that it listens on."""
    listening = folder / "haproxy.sock"
    text = (
        f"frontend docker\n    bind unix@{listening}\n    default_backend docker\n{frontend}"
        f"backend docker\n{backend}"
    )
    with running_haproxy(folder, text, listening):
        yield listening


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def prepare() -> tuple[Path, str]:
    """The program, fetched unless that was done before, and where its libraries are."""
    folder = CACHE / "haproxy"
    unpack(_SUITE, _PACKAGES, folder)
    libraries = sorted({str(library.parent) for library in folder.glob("**/*.so.*")})
    return folder / "usr/sbin/haproxy", ":".join(libraries)
