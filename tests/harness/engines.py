"""Docker engines of Debian's packages, or built by Go, in a cache folder and never installed.

apt fetches and verifies the packages, with lists and keys of its own, so that the machine's package
state stays as it is. Go verifies what it builds by its checksum database.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / ".cache/engines"

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_RUNTIME_SUITE: Final = "bookworm"
_RUNTIME: Final = ("busybox-static", "containerd", "libdevmapper1.02.1", "libseccomp2", "runc")


@dataclass(frozen=True, slots=True)
class Engine:
    """The programs of a Docker engine, and of what it runs on.

    ``name`` is its release, ``environment`` is where its programs find each other, ``busybox`` a
    static one to make images of. ``storage_driver`` needs no support by the kernel: a graph driver,
    or a snapshotter of containerd's image store.
    """

    name: str
    dockerd: Path
    docker: Path
    busybox: Path
    environment: dict[str, str]
    storage_driver: str = "vfs"

    @property
    def port(self) -> int:
        """The first of ten TCP ports of the host for containers: engines run side by side."""
        return 18080 + 10 * (ENGINES.index(self.name) if self.name in ENGINES else 0)


_DEBIAN: Final = {
    "20.10": ("bookworm", ("docker.io",)),
    "26.1": ("trixie", ("docker.io", "docker-cli")),
    "28.5": ("sid", ("docker.io", "docker-cli")),
}
"""The engines of Debian, by release: suite and packages."""

OLDEST: Final = "20.10"
NEWEST: Final = "29"
ENGINES: Final = (*_DEBIAN, NEWEST)
"""The releases that the tests run on, oldest first."""

_NEWEST_VERSION: Final = "29.9.0"
MOBY: Final = "v2.0.0-beta.24"
"""The version of github.com/moby/moby/v2 that the newest engine is built from."""

_RUNC: Final = "v1.5.3"
_CLI_VERSION: Final = "29.9.3"
_CLI: Final = Path(__file__).parent / "docker29"
_SECCOMP: Final = ("libseccomp2", "libseccomp-dev")


def prepare(name: str) -> Engine:
    """The engine of a release and what it runs on, fetched or built if they are not there."""
    runtime = CACHE / "runtime"
    unpack(_RUNTIME_SUITE, _RUNTIME, runtime)
    if name == NEWEST:
        folder = CACHE / f"{NEWEST}-{MOBY}-{_RUNC}-{_CLI_VERSION}"
        make_once(folder, lambda partial: _build(partial, *_newest()))
    else:
        suite, packages = _DEBIAN[name]
        folder = CACHE / suite
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
        storage_driver="native" if name == NEWEST else "vfs",
    )


def prepare_dockerd(moby: str) -> Engine:
    """The newest engine with the dockerd of another version of ``github.com/moby/moby/v2``."""
    engine = prepare(NEWEST)
    if moby == MOBY:
        return engine
    folder = CACHE / f"moby-{moby}"
    make_once(folder, lambda partial: _build(partial, _dockerd(moby)))
    return replace(engine, dockerd=folder / "usr/sbin/dockerd")


def installed() -> Engine | None:
    """The engine of this machine, if it has one and a busybox."""
    dockerd, docker, busybox = map(shutil.which, ("dockerd", "docker", "busybox"))
    if dockerd is None or docker is None or busybox is None:
        return None
    return Engine("installed", Path(dockerd), Path(docker), Path(busybox), dict(os.environ))


def unpack(suite: str, packages: tuple[str, ...], target: Path) -> None:
    """Fetch packages of a Debian suite and unpack them into a folder, unless it is there."""
    make_once(target, lambda partial: _fetch(suite, packages, partial))


def cli_plugins() -> Path:
    """The folder of today's Docker Compose and Buildx, which the Docker CLI runs as plugins."""
    unpack("sid", ("docker-compose", "docker-buildx"), CACHE / "cli-plugins")
    return CACHE / "cli-plugins/usr/libexec/docker/cli-plugins"


def make_once(target: Path, make: Callable[[Path], None]) -> None:
    """Make a folder unless it is there; other processes that have to make one meanwhile wait."""
    if target.is_dir():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            partial = target.with_name(f"{target.name}.part")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(target)


def node_packages(lock: Path) -> Path:
    """Install the npm packages of a folder with a package-lock.json; where they are.

    npm verifies them by the hashes in the lock. No script of a package is run.
    """
    if shutil.which("npm") is None:
        raise RuntimeError(
            f"the packages of {lock.name} need Node.js and npm; "
            "`make unit rego` runs the tests that need no dockerd"
        )
    version = hashlib.sha256((lock / "package-lock.json").read_bytes()).hexdigest()
    target = CACHE / f"{lock.name}-{version[:12]}"

    def install(partial: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(lock / name, partial)
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
            cwd=partial,
            check=True,
        )

    make_once(target, install)
    return target


Program = tuple[str, list[str]]
"""A program that Go installs: its folder below /usr, and the arguments of ``go install``."""

_TAGS: Final = "-tags=exclude_graphdriver_btrfs,seccomp"


def _dockerd(moby: str) -> Program:
    version = f"-X github.com/moby/moby/v2/dockerversion.Version={_NEWEST_VERSION}"
    package = f"github.com/moby/moby/v2/cmd/dockerd@{moby}"
    return "sbin", [_TAGS, f"-ldflags=-s -w {version}", package]


def _newest() -> list[Program]:
    """The newest engine, its CLI and a runc that can start its containers."""
    cli_version = f"-X github.com/docker/cli/cli/version.Version={_CLI_VERSION}"
    # The CLI's module has no go.mod, for which Go supposes the language of Go 1.16.
    language = "-gcflags=github.com/docker/cli/...=-lang=go1.26"
    return [
        _dockerd(MOBY),
        ("bin", ["-ldflags=-s -w", f"github.com/moby/moby/v2/cmd/docker-proxy@{MOBY}"]),
        ("sbin", [_TAGS, "-ldflags=-s -w", f"github.com/opencontainers/runc@{_RUNC}"]),
        ("bin", [language, f"-ldflags=-s -w {cli_version}", "tool"]),
    ]


def _build(target: Path, *programs: Program) -> None:
    """Have Go install programs that need libseccomp."""
    if shutil.which("go") is None:
        raise RuntimeError(
            f"Docker {NEWEST} is built by Go, which is not installed; "
            "`make unit rego` runs the tests that need no dockerd"
        )
    seccomp = target / "seccomp"
    seccomp.mkdir()
    _fetch(_RUNTIME_SUITE, _SECCOMP, seccomp)
    [library] = seccomp.glob("usr/lib/*/libseccomp.so")
    environment = {
        **os.environ,
        "CGO_CFLAGS": f"-I{seccomp}/usr/include",
        "CGO_LDFLAGS": f"-L{library.parent} -lseccomp",
        "PKG_CONFIG": "true",  # it would name the folders of the machine
    }
    for bin_, arguments in programs:
        subprocess.run(
            ["go", "install", f"-p={os.cpu_count()}", *arguments],
            cwd=_CLI,
            env=environment | {"GOBIN": f"{target}/usr/{bin_}"},
            check=True,
        )
    shutil.rmtree(seccomp)


def _fetch(suite: str, packages: tuple[str, ...], target: Path) -> None:
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing or not KEYRING.exists():
        lacking = ", ".join(missing) or "the package debian-archive-keyring"
        raise RuntimeError(
            f"the tests take real programs out of Debian's packages and need {lacking}; "
            "`make rego` runs those of the policies alone"
        )
    apt = target / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(
        f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {suite} main\n"
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
        subprocess.run(["dpkg", "-x", package, target], check=True)
    shutil.rmtree(apt)
