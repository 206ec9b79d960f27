"""Docker engines out of Debian's packages, unpacked into a cache folder and never installed.

apt fetches and verifies them, with lists and keys of its own, so that the machine's package state
stays as it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / ".cache/engines"

_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_RUNTIME_SUITE: Final = "bookworm"
_RUNTIME: Final = ("busybox-static", "containerd", "libdevmapper1.02.1", "libseccomp2", "runc")


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker engine: ``name`` is the release that the tests know it by."""

    name: str
    suite: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return CACHE / self.suite

    def environment(self) -> dict[str, str]:
        """The environment in which its programs find each other and their libraries."""
        folders = [self.folder, CACHE / "runtime"]
        programs = [f"{folder}/usr/{bin_}" for folder in folders for bin_ in ("sbin", "bin")]
        libraries = [f"{CACHE}/runtime/{lib}/x86_64-linux-gnu" for lib in ("usr/lib", "lib")]
        return {
            **os.environ,
            "PATH": ":".join([*programs, os.environ["PATH"]]),
            "LD_LIBRARY_PATH": ":".join(libraries),
        }

    @property
    def dockerd(self) -> Path:
        return self.folder / "usr/sbin/dockerd"

    @property
    def docker(self) -> Path:
        return self.folder / "usr/bin/docker"


ENGINES: Final = {
    engine.name: engine
    for engine in (
        Engine("20.10", "bookworm", ("docker.io",)),
        Engine("26.1", "trixie", ("docker.io", "docker-cli")),
        Engine("28.5", "sid", ("docker.io", "docker-cli")),
    )
}


def prepare(engine: Engine) -> Engine:
    """Fetch an engine and what it runs on, unless that was done before."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _unpack(_RUNTIME_SUITE, _RUNTIME, CACHE / "runtime")
        _unpack(engine.suite, engine.packages, engine.folder)
    return engine


def busybox() -> Path:
    """A static busybox, to make images of."""
    return CACHE / "runtime/bin/busybox"


def _unpack(suite: str, packages: tuple[str, ...], target: Path) -> None:
    if target.is_dir():
        return
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing or not _KEYRING.exists():
        lacking = ", ".join(missing) or "the package debian-archive-keyring"
        raise RuntimeError(
            f"the tests with a real dockerd take it from Debian's packages and need {lacking}; "
            "`make unit rego` runs everything else"
        )
    partial = target.with_name(f"{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    apt = partial / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(
        f"deb [signed-by={_KEYRING}] http://deb.debian.org/debian {suite} main\n"
    )
    options = [
        f"Dir::State={apt}/state",
        f"Dir::State::status={apt}/status",
        f"Dir::Cache={apt}/cache",
        f"Dir::Etc::sourcelist={apt}/sources.list",
        "Dir::Etc::sourceparts=/dev/null",
        f"APT::Sandbox::User={os.environ.get('USER', 'root')}",
    ]
    command = ["apt-get", "-qq", *(argument for option in options for argument in ("-o", option))]
    subprocess.run([*command, "update"], check=True)
    subprocess.run([*command, "download", *packages], check=True, cwd=apt / "debs")
    for package in (apt / "debs").glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, partial], check=True)
    shutil.rmtree(apt)
    partial.rename(target)
