"""Make the container image: ``make image``.

The folder ``dist/container`` gets the Dockerfile, the wheel of this checkout with the pinned
requirements, which pip downloads by their hashes, and a software bill of materials (CycloneDX) of
them. Docker builds the image in it, without network, if there is a Docker.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from authz_plugin import __version__
from tools.wheels import ROOT, make_wheel, pip, requirements, run, target_options

_SOURCES: Final = ROOT / "deploy/container"
_NAME: Final = "docker-opa-authz"
_CYCLONEDX: Final = "cyclonedx-bom==7.5.0"


def main() -> None:
    """Write the folder, build the image and print what was made."""
    parser = argparse.ArgumentParser(prog="make image", description=__doc__)
    parser.add_argument("--python", default="3.13", help="version of Python in the base image")
    parser.add_argument("--base", help="base image, instead of python:VERSION-slim")
    parser.add_argument("--tag", default=f"opa-authz:{__version__}", help="name of the image")
    parser.add_argument("--into", type=Path, default=ROOT / "dist/container", help="the folder")
    options = parser.parse_args()
    write_context(options.into, options.python)
    docker = shutil.which("docker")
    if docker is None:
        print(f"{options.into}: build it with `docker build`")  # noqa: T201 - a build tool
        return
    base = options.base or f"python:{options.python}-slim"
    command = [docker, "build", "--network=none", f"--build-arg=BASE={base}"]
    subprocess.run([*command, f"--tag={options.tag}", options.into], check=True)
    print(options.tag)  # noqa: T201 - a build tool


def write_context(folder: Path, python: str) -> None:
    """Write the folder that the image is built in, for a version of Python (``"3.13"``).

    It has the wheels that are installed and no others: the pins include those of build tools.
    """
    machine = platform.machine()
    wheels = folder / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    wheels.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="opa-authz-wheel-") as scratch:
        wheel = make_wheel(ROOT, Path(scratch))
        report = Path(scratch, "report.json")
        pip(
            "install",
            *target_options(python, machine),
            f"--find-links={requirements(python, machine)}",
            f"--find-links={scratch}",
            "--no-index",
            "--dry-run",
            f"--target={scratch}/nothing",
            f"--report={report}",
            wheel,
        )
        installed = json.loads(report.read_text())["install"]
        files = [
            Path(url2pathname(urlsplit(each["download_info"]["url"]).path)) for each in installed
        ]
        for file in files:
            shutil.copy(file, wheels)
    shutil.copy(_SOURCES / "Dockerfile", folder)
    _write_bill(folder, installed)


def _write_bill(folder: Path, installed: Sequence[Any]) -> None:
    """Write what is installed, with versions and hashes, as CycloneDX; ``installed`` is the list of
    pip's report, and what is not pinned is the wheel of this checkout."""
    program = ROOT / ".cache/cyclonedx/bin/cyclonedx-py"
    if not program.exists():
        run(sys.executable, "-m", "venv", program.parents[1])
        run(program.with_name("pip"), "install", "--quiet", _CYCLONEDX)
    lines = [
        f"{each['metadata']['name']}=={each['metadata']['version']} "
        f"--hash=sha256:{each['download_info']['archive_info']['hashes']['sha256']}"
        for each in installed
        if each["metadata"]["name"] != _NAME
    ]
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(sorted(lines)) + "\n")
    options = ["--output-reproducible", f"--pyproject={ROOT / 'pyproject.toml'}"]
    run(program, "requirements", *options, "--output-file", folder / "sbom.cdx.json", listed)


if __name__ == "__main__":
    main()
