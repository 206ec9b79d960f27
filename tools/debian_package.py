"""Make the Debian package: ``make deb``.

The package holds a virtual environment for Debian's own Python, with the wheel of this checkout
and the pinned requirements, and what ``opa-authz deploy files`` writes, at its places. pip
downloads the requirements by their hashes once; later builds need no network. The same checkout
gives the same package, whenever it is made.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hatchling.builders.utils import get_reproducible_timestamp

from authz_plugin import __version__
from authz_plugin.tools.deployment_files import deployment_files
from tools import man_pages
from tools.wheels import ROOT, make_wheel, pip, requirements, run, target_options

_SOURCES: Final = Path(__file__).parent / "debian"
_PROGRAM: Final = Path("/usr/bin/opa-authz")
_HOME: Final = Path("/usr/lib/opa-authz")

SUITES: Final = {"bookworm": ("12", "3.11"), "trixie": ("13", "3.13")}
"""The version and the Python of each Debian release that a package can be made for."""

_SCRIPTS: Final = ("postinst", "prerm", "postrm")
_PLATFORMS: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_LAUNCHER: Final = f"""\
#!{_HOME}/bin/python
import sys

from authz_plugin.cli import main

sys.exit(main())
"""


def main() -> None:
    """Write ``opa-authz_VERSION_ARCHITECTURE.deb`` into a folder and print its path."""
    parser = argparse.ArgumentParser(prog="make deb", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, default="bookworm", help="Debian release")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder to write it to")
    parser.add_argument("--version", default=__version__, help="version of the package")
    options = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        parser.error("it needs Debian's dpkg-deb: run it on Debian, or install the package dpkg")
    if _architecture() not in _PLATFORMS:
        parser.error(f"packages are made on {' and '.join(_PLATFORMS)}, not on {_architecture()}")
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="opa-authz-wheel-") as folder:
        wheel = make_wheel(ROOT, Path(folder))
        package = build(wheel, options.suite, options.into, options.version)
    print(package)  # noqa: T201 - a build tool


def build(
    wheel: Path,
    suite: str,
    into: Path,
    version: str = __version__,
    compression: Sequence[str] = ("-Zxz", "-z1"),
) -> Path:
    """Make the package of a wheel for a Debian release; its path.

    ``compression`` are dpkg-deb's options for it. Raises ``CalledProcessError``.
    """
    release, python = SUITES[suite]
    architecture = _architecture()
    version = f"{version}+deb{release}"
    package = into / f"opa-authz_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="opa-authz-deb-") as scratch:
        tree = Path(scratch, "tree")
        _environment(tree, wheel, python, _PLATFORMS[architecture])
        _files(tree)
        _control(tree, version, architecture, python)
        for item in tree.rglob("*"):
            if not item.is_symlink():
                item.chmod(0o755 if item.is_dir() or item in _programs(tree) else 0o644)
        tree.chmod(0o755)
        moment = str(get_reproducible_timestamp())
        options = ["--root-owner-group", *compression]
        date = {"SOURCE_DATE_EPOCH": moment}
        run("dpkg-deb", *options, "--build", tree, package, environment=date)
    return package


def _architecture() -> str:
    return _output("dpkg", "--print-architecture")


def _programs(tree: Path) -> list[Path]:
    """The files of a package that are run."""
    return [
        tree / _HOME.relative_to("/") / "bin/opa-authz",
        *map((tree / "DEBIAN").joinpath, _SCRIPTS),
    ]


def _environment(tree: Path, wheel: Path, python: str, machine: str) -> None:
    """The virtual environment for Debian's Python, made by the pip of the running one."""
    home = tree / _HOME.relative_to("/")
    site = home / f"lib/python{python}/site-packages"
    site.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to("../../../bin/python3")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (home / "bin/opa-authz").write_text(_LAUNCHER)
    wheels = requirements(python, machine)
    links = [f"--find-links={folder}" for folder in (wheels, wheel.parent)]
    name, version, *_ = wheel.name.split("-")  # named by its path, pip would record the path
    options = [*target_options(python, machine), *links, "--no-index", "--no-compile"]
    pip("install", *options, "--target", site, f"{name}=={version}")
    shutil.rmtree(site / "bin", ignore_errors=True)
    for record in site.glob("*.dist-info/RECORD"):
        record.unlink()  # it names scripts in that folder; the files are dpkg's


def _files(tree: Path) -> None:
    """Everything but the program, at its place."""
    places = {}
    for name, text in deployment_files(_PROGRAM).items():
        folder, _, file = name.partition("/")
        if folder == "systemd" and "/" not in file:
            places[f"usr/lib/systemd/system/{file}"] = text
        elif folder in {"sysusers.d", "tmpfiles.d"}:
            places[f"usr/lib/{name}"] = text
        elif name == "config.yaml":
            places[f"etc/opa-authz/{name}"] = text
        else:
            places[f"usr/share/opa-authz/{name}"] = text
    for schema in (ROOT / "docs/reference").glob("*.schema.json"):
        places[f"usr/share/opa-authz/{schema.name}"] = schema.read_text()
    places["usr/share/bash-completion/completions/opa-authz"] = _output(
        Path(sys.executable).with_name("opa-authz"), _OPA_AUTHZ_COMPLETE="bash_source"
    )
    places["usr/share/doc/opa-authz/copyright"] = (_SOURCES / "copyright").read_text()
    for name, text in places.items():
        _write(tree / name, text.encode())
    for name, text in man_pages.pages().items():
        _write(tree / f"usr/share/man/man1/{name}.gz", _zipped(text))
    changes = (ROOT / "CHANGELOG.md").read_text()
    _write(tree / "usr/share/doc/opa-authz/changelog.gz", _zipped(changes))
    program = tree / _PROGRAM.relative_to("/")
    program.parent.mkdir(parents=True)
    program.symlink_to(f"../lib/{_HOME.name}/bin/opa-authz")


def _control(tree: Path, version: str, architecture: str, python: str) -> None:
    """The folder DEBIAN: what dpkg is told about the package."""
    files = [file for file in sorted(tree.rglob("*")) if file.is_file() and not file.is_symlink()]
    settings = [file for file in files if file.is_relative_to(tree / "etc")]
    sums = [
        f"{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}  "
        f"{file.relative_to(tree)}\n"
        for file in files
        if file not in settings
    ]
    major, minor = python.split(".")
    values: Mapping[str, str] = {
        "VERSION": version,
        "ARCHITECTURE": architecture,
        "SIZE": str(sum(file.stat().st_size for file in files) // 1024),
        "PYTHON": python,
        "NEXT_PYTHON": f"{major}.{int(minor) + 1}",
    }
    control = (_SOURCES / "control").read_text()
    for name, value in values.items():
        control = control.replace(f"@{name}@", value)
    _write(tree / "DEBIAN/control", control.encode())
    _write(
        tree / "DEBIAN/conffiles",
        "".join(f"/{file.relative_to(tree)}\n" for file in settings).encode(),
    )
    _write(tree / "DEBIAN/md5sums", "".join(sums).encode())
    for script in _SCRIPTS:
        _write(tree / "DEBIAN" / script, (_SOURCES / script).read_bytes())


def _zipped(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _output(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
