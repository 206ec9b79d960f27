"""Fetches the scripts of other projects that the console serves, and writes them into the package.

They are pinned by version, by the hash that npm's registry states, and by that of the file, with
which a test compares what is in the package.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests

INTO: Final = Path(__file__).parents[1] / "authz_plugin/tools/console/static/vendor"


@dataclass(frozen=True, slots=True)
class Script:
    """A file of an npm package: ``sha512`` is that of the package, ``sha256`` that of the file."""

    package: str
    version: str
    file: str
    licence: str
    sha512: str
    sha256: str

    @property
    def url(self) -> str:
        name = self.package.rpartition("/")[2]
        return f"https://registry.npmjs.org/{self.package}/-/{name}-{self.version}.tgz"


SCRIPTS: Final = (
    Script(
        package="htmx.org",
        version="2.0.11",
        file="dist/htmx.min.js",
        licence="0BSD",
        sha512="4e1c7f5ada5e390a92aea042c3f0357301891a0e14ad56b7fac5b41a6accde9e202603bcf5e707e2ab5b9f2cc30d616f053aa39c83028042d336deb7e9db5a98",
        sha256="d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    ),
)


def main() -> None:
    """Write the scripts and their licences; raises ``ValueError`` if a hash differs."""
    INTO.mkdir(exist_ok=True)
    for script in SCRIPTS:
        archive = requests.get(script.url, timeout=60).content
        _check(script.url, hashlib.sha512(archive).hexdigest(), script.sha512)
        with tarfile.open(fileobj=io.BytesIO(archive)) as package:
            text = _content(package, script.file)
            licence = _content(package, "LICENSE")
        _check(script.file, hashlib.sha256(text).hexdigest(), script.sha256)
        name = script.file.rpartition("/")[2]
        (INTO / name).write_bytes(text)
        (INTO / f"{name}.LICENSE").write_bytes(licence)


def _content(package: tarfile.TarFile, name: str) -> bytes:
    content = package.extractfile(f"package/{name}")
    assert content is not None
    return content.read()


def _check(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(f"{what} has the hash {found}, not {expected}")


if __name__ == "__main__":
    main()
