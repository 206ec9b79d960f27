"""The installation of OPA.

``install`` copies the right version from PATH, or downloads the pinned official release and checks
its SHA-256, or builds the same version with Go, which checks its sources against Go's checksum
database.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import requests

from authz_plugin.engine.binary import VERSION, Opa, use, version_of
from authz_plugin.errors import EngineSetupError

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


def install(folder: Path, say: Callable[[str], None]) -> Opa:
    """Install OPA ``VERSION`` into a folder; raises ``EngineSetupError``."""
    target = folder / "opa"
    on_path = shutil.which("opa")
    if on_path is not None and version_of(Path(on_path)) == VERSION:
        say(f"OPA {VERSION} is on PATH: {on_path}")
        if not (target.exists() and target.samefile(on_path)):
            shutil.copy2(on_path, target)
        return use(target)
    try:
        _download(target, say)
    except EngineSetupError as problem:
        say(str(problem))
        _build(folder, say)
    return use(target)


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
