"""The OPA program: where it is, how it is had, and what it says of policies.

Looks on PATH and beside the Python that runs this; ``install`` brings the pinned official release,
checked against its SHA-256, or builds the same version with Go's toolchain, which checks its
sources against Go's checksum database.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from authz_plugin.errors import EngineSetupError, PolicyError

VERSION: Final = "1.21.1"
"""The version that is installed and tested."""

OLDEST: Final = (1, 7, 0)
"""The oldest version that may be used: the one whose semantics the rules were checked against."""

_RELEASE: Final = f"https://github.com/open-policy-agent/opa/releases/download/v{VERSION}/"
_RELEASES: Final = {
    ("Linux", "x86_64"): (
        "opa_linux_amd64_static",
        "668506eb17a2eaa1fce6cc0d1f42ef85125d4ac5bda5fc74d1152d0c77145031",
    ),
    ("Linux", "aarch64"): (
        "opa_linux_arm64_static",
        "9a1f3625529c6f01240fe68286dde06aa0b23c5253da700ac48f4d943ff8a4de",
    ),
}
_MODULE: Final = f"github.com/open-policy-agent/opa@v{VERSION}"
_TIMEOUT: Final = 60


@dataclass(frozen=True, slots=True)
class Opa:
    """An OPA program of a version that may be used."""

    path: Path
    version: str

    def check(self, schemas: Path, policies: Sequence[Path]) -> None:
        """Compile policies strictly; raises ``PolicyError`` with file, line and reason."""
        self._run("check", "--strict", "--schema", str(schemas), *map(str, policies))

    def packages(self, policies: Sequence[Path]) -> dict[str, list[str]]:
        """The packages of policies and the files that each is made of."""
        found: dict[str, list[str]] = {}
        for folder in policies:
            inspected = json.loads(self._run("inspect", "--format", "json", str(folder)))
            namespaces: dict[str, Any] = inspected.get("namespaces") or {}
            for package, files in namespaces.items():
                found.setdefault(package, []).extend(files)
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run OPA to its end, whatever that is; raises ``EngineSetupError`` if it does not run."""
        try:
            return subprocess.run(
                [str(self.path), *arguments],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineSetupError(f"{self.path} {arguments[0]} failed: {error}") from error

    def _run(self, *arguments: str) -> str:
        done = self.run(*arguments)
        if done.returncode != 0:
            raise PolicyError((done.stderr or done.stdout).strip())
        return done.stdout


def find(preferred: Path | None = None) -> Opa:
    """Find an OPA: the preferred one, or one on PATH, or one beside this Python.

    Raises ``EngineSetupError`` that says what to install.
    """
    if preferred is not None:
        return _use(preferred)
    problems = []
    for candidate in (shutil.which("opa"), str(Path(sys.executable).with_name("opa"))):
        if candidate is None or not os.access(candidate, os.X_OK):
            continue
        try:
            return _use(Path(candidate))
        except EngineSetupError as problem:
            problems.append(f"{problem}; ")
    raise EngineSetupError(
        f"no usable OPA found: {''.join(problems)}"
        f"run `opa-authz install-opa`, or put OPA {VERSION} on PATH "
        "(https://www.openpolicyagent.org/docs/#1-download-opa), "
        "or set opa.url to an OPA that you run"
    )


def install(folder: Path, say: Callable[[str], None]) -> Opa:
    """Bring OPA ``VERSION`` into a folder, saying what is done; raises ``EngineSetupError``."""
    target = folder / "opa"
    on_path = shutil.which("opa")
    if on_path is not None and _version(Path(on_path)) == VERSION:
        say(f"OPA {VERSION} is on PATH: {on_path}")
        if not (target.exists() and target.samefile(on_path)):
            shutil.copy2(on_path, target)
        return _use(target)
    try:
        _download(target, say)
    except EngineSetupError as problem:
        say(str(problem))
        _build(folder, say)
    return _use(target)


def _download(target: Path, say: Callable[[str], None]) -> None:
    release = _RELEASES.get((platform.system(), platform.machine()))
    if release is None:
        raise EngineSetupError(
            f"no pinned OPA release for {platform.system()} {platform.machine()}"
        )
    name, expected = release
    say(f"downloading OPA {VERSION} from {_RELEASE}{name}")
    partial = target.with_suffix(".part")
    digest = hashlib.sha256()
    try:
        with (
            requests.get(_RELEASE + name, stream=True, timeout=30) as response,
            partial.open("wb") as file,
        ):
            response.raise_for_status()
            for chunk in response.iter_content(1 << 20):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != expected:
            raise EngineSetupError(
                f"the download of {name} has SHA-256 {digest.hexdigest()}, not {expected}"
            )
        partial.chmod(0o755)
        partial.replace(target)
    except (requests.RequestException, OSError) as error:
        raise EngineSetupError(f"OPA cannot be downloaded: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _build(folder: Path, say: Callable[[str], None]) -> None:
    go = shutil.which("go")
    if go is None:
        raise EngineSetupError(
            "and there is no Go to build it with: install OPA by hand "
            "(https://www.openpolicyagent.org/docs/#1-download-opa)"
        )
    say(f"building OPA {VERSION} with {go}: this takes a few minutes, once")
    environment = {**os.environ, "GOBIN": str(folder.resolve()), "GOFLAGS": ""}
    built = subprocess.run([go, "install", _MODULE], env=environment, check=False)
    if built.returncode != 0:
        raise EngineSetupError(f"`go install {_MODULE}` failed")


def _use(path: Path) -> Opa:
    version = _version(path)
    if version is None:
        raise EngineSetupError(f"{path} is not an OPA program that runs")
    if tuple(map(int, version.split("."))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EngineSetupError(f"{path} is OPA {version}, the oldest that may be used is {oldest}")
    return Opa(path, version)


def _version(path: Path) -> str | None:
    try:
        done = subprocess.run(
            [str(path), "version"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"^Version: (\d+\.\d+\.\d+)", done.stdout, re.MULTILINE)
    return found.group(1) if found else None
