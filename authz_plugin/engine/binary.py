"""The OPA program: how it is found, and the commands of it that the plugin runs.

``find`` searches PATH and the folder of the running Python, where ``opa-authz install-opa``
installs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_plugin.errors import EngineSetupError, PolicyError

VERSION: Final = "1.21.1"
"""The version that this product is tested with and that ``install-opa`` installs."""

OLDEST: Final = (1, 7, 0)
"""The oldest version with which the rules were tested; older ones are refused."""

_TIMEOUT: Final = 60


class Opa(NamedTuple):
    """An OPA program of a supported version, such as ``"1.21.1"``."""

    path: Path
    version: str

    def check(self, schemas: Path, policies: Sequence[Path]) -> None:
        """Compile policies strictly; raises ``PolicyError`` with file, line and reason."""
        self._run("check", "--strict", "--schema", str(schemas), *map(str, policies))

    def packages(self, policies: Sequence[Path]) -> dict[str, list[str]]:
        """The Rego packages in folders, each with its files; raises ``PolicyError``."""
        found: dict[str, list[str]] = {}
        for folder in policies:
            inspected = json.loads(self._run("inspect", "--format", "json", str(folder)))
            namespaces: dict[str, Any] = inspected.get("namespaces") or {}
            for package, files in namespaces.items():
                found.setdefault(package, []).extend(files)
        return found

    def build(self, target: str, entrypoint: str, folder: Path, part: str) -> bytes:
        """Build a bundle of the policies in a folder, without tests and data.

        If there are folders ``docker`` or ``custom`` in it, only their policies count. Returns one
        file of the bundle (``"/policy.wasm"``). ``target`` is ``"wasm"`` or ``"plan"``. Raises
        ``PolicyError``.
        """
        with tempfile.TemporaryDirectory(prefix="opa-authz-") as scratch:
            archive = Path(scratch, "bundle.tar.gz")
            self._run(
                "build",
                f"--target={target}",
                f"--entrypoint={entrypoint}",
                "--ignore=*_test.rego",
                "--ignore=*.json",
                f"--output={archive}",
                *([name for name in ("docker", "custom") if (folder / name).is_dir()] or ["."]),
                folder=folder,
            )
            with tarfile.open(archive) as bundle:
                found = bundle.extractfile(part)
                if found is None:
                    raise PolicyError(f"{self.path} build wrote no {part}")
                return found.read()

    def sign(self, bundle: Path, key: Path, algorithm: str) -> None:
        """Write the signature of the bundle in a folder into it.

        ``key`` is the PEM file of the private key. Raises ``PolicyError``.
        """
        self._run(
            "sign",
            f"--signing-key={key.absolute()}",
            f"--signing-alg={algorithm}",
            "--bundle",
            ".",  # names of files in the signature begin with the folder as it is given
            folder=bundle,
        )

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run OPA, in a folder if one is given, and return its result, whatever the exit status.

        Raises ``EngineSetupError`` if it cannot be run or takes longer than ``_TIMEOUT`` seconds.
        """
        try:
            return subprocess.run(
                [str(self.path.absolute()), *arguments],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
                stdin=subprocess.DEVNULL,
                cwd=folder,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineSetupError(f"{self.path} {arguments[0]} failed: {error}") from error

    def _run(self, *arguments: str, folder: Path | None = None) -> str:
        done = self.run(*arguments, folder=folder)
        if done.returncode != 0:
            raise PolicyError((done.stderr or done.stdout).strip())
        return done.stdout


class OpaWhenNeeded:
    """The OPA program, which is searched for when it is first used.

    ``preferred`` is its path, or None; see ``find``, whose exceptions every method can raise.
    """

    def __init__(self, preferred: Path | None) -> None:
        self._preferred = preferred
        self._found: Opa | None = None

    def find(self) -> Opa:
        if self._found is None:
            self._found = find(self._preferred)
        return self._found

    def check(self, schemas: Path, policies: Sequence[Path]) -> None:
        self.find().check(schemas, policies)

    def packages(self, policies: Sequence[Path]) -> dict[str, list[str]]:
        return self.find().packages(policies)


def find(preferred: Path | None = None) -> Opa:
    """Find OPA: at ``preferred`` if given, else on PATH, else in the folder of the running Python.

    Raises ``EngineSetupError`` if none is usable; its message says how to install one.
    """
    if preferred is not None:
        return use(preferred)
    problems = []
    for candidate in (shutil.which("opa"), str(Path(sys.executable).with_name("opa"))):
        if candidate is None or not os.access(candidate, os.X_OK):
            continue
        try:
            return use(Path(candidate))
        except EngineSetupError as problem:
            problems.append(f"{problem}; ")
    raise EngineSetupError(
        f"no usable OPA found: {''.join(problems)}"
        f"run `opa-authz install-opa`, or put OPA {VERSION} on PATH "
        "(https://www.openpolicyagent.org/docs/#1-download-opa), "
        "or set opa.url to an OPA that you run"
    )


def use(path: Path) -> Opa:
    """Return the OPA program at a path; raises ``EngineSetupError`` if it is not usable."""
    version = version_of(path)
    if version is None:
        raise EngineSetupError(f"{path} is not an OPA program that runs")
    if tuple(map(int, version.split("."))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EngineSetupError(f"{path} is OPA {version}, the oldest that may be used is {oldest}")
    return Opa(path, version)


def version_of(path: Path) -> str | None:
    """Return the version that ``opa version`` prints, or None if this is not a working OPA."""
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
