"""The installation of OPA.

``install`` copies the right version from PATH, or downloads the pinned official release and checks
its SHA-256, or builds the same version with Go, which checks its sources against Go's checksum
database. From a named file or mirror, nothing but that pinned release is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import requests

from authz_plugin.engine.binary import VERSION, Opa, use, version_of
from authz_plugin.errors import EngineSetupError
from authz_plugin.journal.masking import masked_text

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
_CHUNK: Final = 1 << 20


_LARGEST: Final = 1 << 28
"""Bytes after which a download is ended; a release has less than a third of it."""


class _TooLargeError(requests.RequestException):
    pass


_REASONS: Final[dict[type[requests.RequestException], str]] = {
    requests.exceptions.SSLError: "its certificate is not trusted",
    requests.exceptions.ProxyError: "the proxy cannot be used",
    requests.Timeout: "no answer in time",
    requests.ConnectionError: "it cannot be reached",
    requests.exceptions.InvalidURL: "it is not a valid URL",
    _TooLargeError: "it is too large for a release of OPA",
    requests.RequestException: "the answer is not complete",
}
"""The first that an error is an instance of says what happened."""


def install(folder: Path, say: Callable[[str], None], source: str | None = None) -> Opa:
    """Install OPA ``VERSION`` into a folder; raises ``EngineSetupError``.

    ``source`` is the pinned release as a file, its URL, or the URL of a mirror's folder, which ends
    with ``/``. Nothing else is tried then, and the checksum is that of the official release.
    """
    target = folder / "opa"
    if source is not None:
        _take(target, source, say)
        return use(target)
    on_path = shutil.which("opa")
    if on_path is not None and version_of(Path(on_path)) == VERSION:
        say(f"OPA {VERSION} is on PATH: {on_path}")
        if not (target.exists() and target.samefile(on_path)):
            shutil.copy2(on_path, target)
        return use(target)
    try:
        _take(target, _RELEASE, say)
    except EngineSetupError as problem:
        _build(folder, str(problem), say)
    return use(target)


def _take(target: Path, source: str, say: Callable[[str], None]) -> None:
    """Copy or download the pinned release, if its checksum is right."""
    release = _RELEASES.get((platform.system(), platform.machine()))
    if release is None:
        raise EngineSetupError(
            f"no pinned OPA release for {platform.system()} {platform.machine()}"
        )
    name, expected = release
    is_url = source.startswith(("http://", "https://"))
    if is_url and source.endswith("/"):
        source += name
    shown = masked_text(source.partition("?")[0]) if is_url else source
    say(f"{'downloading' if is_url else 'copying'} OPA {VERSION} from {shown}")
    partial = target.with_suffix(".part")
    digest = hashlib.sha256()
    try:
        with partial.open("wb") as file:
            for chunk in _downloaded(source) if is_url else _read(Path(source)):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != expected:
            raise EngineSetupError(
                f"{shown} has SHA-256 {digest.hexdigest()}, not {expected}, "
                f"which {name} of OPA {VERSION} has: it is not installed"
            )
        partial.chmod(0o755)
        partial.replace(target)
    except requests.RequestException as error:
        raise EngineSetupError(
            f"{shown} cannot be downloaded ({_reason(error)}): where there is no network, bring "
            f"{_RELEASE}{name} here and run `opa-authz install-opa --from FILE`"
        ) from error
    except OSError as error:
        raise EngineSetupError(
            f"OPA cannot be installed from {shown}: {error.strerror or error}: "
            f"{error.filename or target}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _downloaded(url: str) -> Iterator[bytes]:
    with requests.get(url, stream=True, timeout=30) as response:
        response.raise_for_status()
        received = 0
        for chunk in response.iter_content(_CHUNK):
            received += len(chunk)
            if received > _LARGEST:
                raise _TooLargeError
            yield chunk


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk


def _reason(error: requests.RequestException) -> str:
    """A few words: the text of requests may quote the URL with its password."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"status {error.response.status_code}"
    return next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))


def _build(folder: Path, problem: str, say: Callable[[str], None]) -> None:
    go = shutil.which("go")
    if go is None:
        raise EngineSetupError(f"{problem}; there is no Go to build it with either")
    say(problem)
    say(f"building OPA {VERSION} with {go}: this takes a few minutes, once")
    environment = {**os.environ, "GOBIN": str(folder.resolve()), "GOFLAGS": ""}
    built = subprocess.run(
        [go, "install", _MODULE], env=environment, capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        last = (built.stderr.strip() or "no message").splitlines()[-1]
        raise EngineSetupError(
            f"`go install {_MODULE}` failed ({last}), and before that: {problem}"
        )
