"""HAProxy out of Debian's package, unpacked into the cache as the engines are."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness.engines import CACHE, unpack
from tests.harness.plugin import wait_for

_SUITE: Final = "bookworm"
_PACKAGES: Final = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
_HEAD: Final = """\
global
    maxconn 100
defaults
    mode http
    timeout client 30s
    timeout connect 5s
    timeout server 30s
    timeout tunnel 30s
"""


@contextmanager
def running_haproxy(folder: Path, frontend: str, backend: str = "") -> Iterator[Path]:
    """Run one frontend, with rules, in front of a backend; the unix socket that it listens on."""
    program = _prepare()
    socket_, config = folder / "haproxy.sock", folder / "haproxy.cfg"
    config.write_text(
        f"{_HEAD}frontend docker\n    bind unix@{socket_}\n    default_backend docker\n{frontend}"
        f"backend docker\n{backend}"
    )
    libraries = sorted({str(library.parent) for library in _folder().glob("**/*.so.*")})
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-db", "-f", config],
            env={"LD_LIBRARY_PATH": ":".join(libraries)},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: socket_.exists() or process.poll() is not None, "HAProxy", 30)
        assert process.poll() is None, (folder / "haproxy.log").read_text()
        yield socket_
    finally:
        process.terminate()
        process.wait(20)


def _folder() -> Path:
    return CACHE / "haproxy"


def _prepare() -> Path:
    """The program, fetched unless that was done before."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpack(_SUITE, _PACKAGES, _folder())
    return _folder() / "usr/sbin/haproxy"
