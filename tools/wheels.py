"""The wheel of this checkout, and the wheels of its pinned requirements."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PINS: Final = ROOT / "requirements/run.txt"
_KEPT: Final = ROOT / ".cache/wheels"


def make_wheel(source: Path, into: Path) -> Path:
    """Build the wheel of a source folder with the ``opa`` beside the running Python; its path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    run(*command, cwd=source, environment={"PATH": path})
    [wheel] = into.glob("*.whl")
    return wheel


def target_options(python: str, machine: str) -> list[str]:
    """pip's options for a version of Python (``"3.11"``) on Linux with glibc, for a machine
    (``"x86_64"``)."""
    kinds = [f"--platform={name}_{machine}" for name in ("manylinux2014", "manylinux_2_28")]
    return [*kinds, f"--python-version={python}", "--only-binary=:all:"]


def requirements(python: str, machine: str) -> Path:
    """The folder of the pinned requirements' wheels, downloaded by their hashes if need be."""
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    folder = _KEPT / f"{python}-{machine}-{digest}"
    if not folder.is_dir():
        _KEPT.mkdir(parents=True, exist_ok=True)
        options = [*target_options(python, machine), "--no-deps", "--require-hashes"]
        with tempfile.TemporaryDirectory(dir=_KEPT) as scratch:
            wheels = Path(scratch, "wheels")
            pip("download", *options, "-d", wheels, "-r", PINS)
            try:
                wheels.rename(folder)
            except OSError:
                if not folder.is_dir():  # which another build has made meanwhile
                    raise
    return folder


def pip(command: str, *arguments: str | Path) -> None:
    """Run a command of the running Python's pip."""
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", command, *arguments)


def run(
    *command: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command, whose output is no result; raises ``CalledProcessError``."""
    subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=sys.stderr,
        check=True,
    )
