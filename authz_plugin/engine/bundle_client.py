"""An OPA that fetches a bundle from a service, verifies it and keeps asking for a newer one.

It makes no decisions. What it has activated is data, which ``BundleClient`` reads over its socket.
"""

from __future__ import annotations

import contextlib
import http
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin.engine import child
from authz_plugin.engine.binary import Opa
from authz_plugin.errors import EngineError

BUNDLE: Final = "site"
"""The name of the bundle in OPA's configuration."""

PERSISTENCE: Final = "/proc/self/cwd/fetched"
"""The ``persistence_directory`` of OPA's configuration, ``fetched`` in its folder. OPA makes paths
absolute, and its user may not enter the folders above its own."""

_BLOBS: Final = "fetched/oci/blobs/sha256"
_BLOBS_KEPT: Final = 6
_LIMIT: Final = 5.0
_LOG_LIMIT: Final = 1 << 20
_STATUS: Final = "/v1/status"


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """What OPA says of its bundle.

    ``asked`` is the time of the last request that the service answered, as OPA writes it, or empty;
    ``fault`` is why the last request or the last bundle failed, or empty.
    """

    asked: str = ""
    fault: str = ""


class BundleClient:
    """A running OPA that fetches; made by ``start``."""

    def __init__(self, running: child.ChildOpa, log: Path) -> None:
        self._running = running
        self._log = log

    def is_running(self) -> bool:
        return self._running.is_running()

    def read(self, path: str) -> Any:
        """The data at a path such as ``docker/authz/fleet/about``; None if there is none.

        Raises ``EngineError``.
        """
        answer = self._get(f"/v1/data/{path}")
        return answer.get("result")

    def status(self) -> BundleStatus:
        """The state of the bundle; raises ``EngineError``."""
        found = self._get(_STATUS).get("result", {}).get("bundles", {}).get(BUNDLE, {})
        errors = [found.get("message", ""), *map(str, found.get("errors") or ())]
        asked = found.get("last_successful_request", "")
        return BundleStatus(
            "" if asked.startswith("0001-") else asked, ": ".join(filter(None, errors))
        )

    def trim(self) -> None:
        """Remove what OPA would let grow: its log, and every bundle that a registry has had."""
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > _LOG_LIMIT:
                os.truncate(self._log, 0)
        blobs = self._log.parent.joinpath(_BLOBS).glob("*")
        with contextlib.suppress(OSError):
            newest = sorted(blobs, key=lambda blob: blob.stat().st_mtime, reverse=True)
            for blob in newest[_BLOBS_KEPT:]:
                blob.unlink()

    def stop(self) -> None:
        self._running.stop()

    def _get(self, path: str) -> dict[str, Any]:
        status, body = self._running.get(path, _LIMIT)
        if status != http.HTTPStatus.OK:
            raise EngineError("OPA does not say what it has fetched", f"status {status}")
        try:
            answer: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise EngineError("OPA's answer is not JSON") from error
        return answer if isinstance(answer, dict) else {}


def start(
    opa: Opa, home: Path, configuration: Mapping[str, Any], files: Mapping[str, bytes]
) -> BundleClient:
    """Start OPA with a configuration in an empty folder ``home``.

    ``files`` are written there, under the names that the configuration has for them, because OPA's
    user may not read those of the settings. Raises ``EngineSetupError`` and ``OSError``.
    """
    file, log = home / "opa.json", home / "opa.log"
    for name, content in {**files, file.name: orjson.dumps(configuration)}.items():
        (home / name).touch(0o600)
        (home / name).write_bytes(content)
    return BundleClient(child.run(opa, file, ["--config-file", file.name], log), log)
