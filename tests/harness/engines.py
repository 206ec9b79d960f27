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
    """The programs of a Docker engine, and of what it runs on.

    ``name`` is what people call it, ``environment`` is where its programs find each other,
    ``busybox`` a static one to make images of.
    """

    name: str
    dockerd: Path
    docker: Path
    busybox: Path
    environment: dict[str, str]


ENGINES: Final = {
    "20.10": ("bookworm", ("docker.io",)),
    "26.1": ("trixie", ("docker.io", "docker-cli")),
    "28.5": ("sid", ("docker.io", "docker-cli")),
}
"""The engines that the tests know, by release: Debian's suite and packages."""


def prepare(name: str) -> Engine:
    """The engine of a release, fetched with what it runs on unless that was done before."""
    suite, packages = ENGINES[name]
    folder, runtime = CACHE / suite, CACHE / "runtime"
    unpack(_RUNTIME_SUITE, _RUNTIME, runtime)
    unpack(suite, packages, folder)
    programs = [f"{root}/usr/{bin_}" for root in (folder, runtime) for bin_ in ("sbin", "bin")]
    libraries = sorted({str(library.parent) for library in runtime.glob("**/*.so.*")})
    environment = {
        **os.environ,
        "PATH": ":".join([*programs, os.environ["PATH"]]),
        "LD_LIBRARY_PATH": ":".join(libraries),
    }
    return Engine(
        name=name,
        dockerd=folder / "usr/sbin/dockerd",
        docker=folder / "usr/bin/docker",
        busybox=runtime / "bin/busybox",
        environment=environment,
    )


def installed() -> Engine | None:
    """The engine of this machine, if it has one and a busybox."""
    dockerd, docker, busybox = map(shutil.which, ("dockerd", "docker", "busybox"))
    if dockerd is None or docker is None or busybox is None:
        return None
    return Engine("installed", Path(dockerd), Path(docker), Path(busybox), dict(os.environ))


def unpack(suite: str, packages: tuple[str, ...], target: Path) -> None:
    """Fetch packages of a Debian suite and unpack them into a folder, unless it is there.

    Who comes while somebody else is at it waits.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _fetch(suite, packages, target)


def _fetch(suite: str, packages: tuple[str, ...], target: Path) -> None:
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing or not _KEYRING.exists():
        lacking = ", ".join(missing) or "the package debian-archive-keyring"
        raise RuntimeError(
            f"the tests take real programs out of Debian's packages and need {lacking}; "
            "`make rego` runs those of the policies alone"
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
