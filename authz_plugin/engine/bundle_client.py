"""An OPA that fetches a bundle from a service, verifies it and keeps asking for a newer one.

It makes no decisions. What it has activated is data, which ``BundleClient`` reads over its socket.
It can upload the decisions that others have made: it is asked for each of them by ``hand_over``,
which makes an event of its decision log, and uploads these in rounds, one after another.
"""

from __future__ import annotations

import contextlib
import http
import os
import re
import resource
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

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
_STATUS_LIMIT: Final = 4.0
"""OPA does not say its status while it uploads it, for which its configuration has less time."""

_HAND_OVER_LIMIT: Final = 1.0
_LOG_LIMIT: Final = 1 << 20
_FAULT_LIMIT: Final = 500
_STATUS: Final = "/v1/status"
_ROOTS: Final = f"system/bundles/{BUNDLE}/manifest/roots"
_REPORTED: Final = 0.3
"""Seconds after which OPA's status shows what has been activated."""

_TRIES: Final = 4

_LIMITS: Final = {resource.RLIMIT_DATA: 320 << 20, resource.RLIMIT_FSIZE: 16 << 20}
"""What OPA may use of memory, and for a file: a service can send it anything."""

_ROUND: Final = b'"msg":"Logs uploaded successfully."'
_FLUSHED: Final = b'"msg":"All decisions in buffer uploaded."'
"""What OPA (1.21.1, ``v1/plugins/logs``) logs at level info after a round of uploads in which the
service took everything, and after the last one before it ends. With ``buffer_type: event`` a round
uploads what was in the buffer when it began, and one with an empty buffer is logged too."""


class BundleStatus(NamedTuple):
    """What OPA says of its bundle. Times are in seconds since 1970, or 0.

    ``requested`` is the time of the last request that ended, ``asked`` that of the last one that
    the service answered, ``downloaded`` that of the last bundle, and ``activated`` that of the last
    bundle that OPA has put in place. ``kind`` is that of the last bundle: ``"snapshot"`` or
    ``"delta"``. ``fault`` is why the last request or the last bundle failed, or empty;
    ``upload_fault`` is why the last round of uploads failed, or empty.
    """

    requested: float = 0.0
    asked: float = 0.0
    downloaded: float = 0.0
    activated: float = 0.0
    kind: str = ""
    fault: str = ""
    upload_fault: str = ""

    @property
    def is_verified(self) -> bool:
        """Whether all data is that of a bundle whose signature was verified.

        OPA before 1.21.3 does not verify delta bundles, which change data that is there.
        """
        return self.kind == "snapshot" and self.activated >= self.downloaded > 0


def read_status(answer: Mapping[str, Any]) -> BundleStatus:
    """The status of bundle and uploads in OPA's answer to ``/v1/status``."""
    status = answer.get("result", {})
    found = status.get("bundles", {}).get(BUNDLE, {})
    errors = [found.get("message", ""), *map(str, found.get("errors") or ())]
    return BundleStatus(
        requested=_time(found.get("last_request", "")),
        asked=_time(found.get("last_successful_request", "")),
        downloaded=_time(found.get("last_successful_download", "")),
        activated=_time(found.get("last_successful_activation", "")),
        kind=found.get("type", ""),
        fault=_line(": ".join(filter(None, errors))),
        upload_fault=_line(status.get("decision_logs", {}).get("message", "")),
    )


class UnverifiedError(EngineError):
    """What OPA has put in place is not the data of a bundle with a verified signature."""

    def __init__(self) -> None:
        super().__init__("the service hands out data without the signature of a whole bundle")


class BundleClient:
    """A running OPA that fetches; made by ``start``."""

    def __init__(self, running: child.ChildOpa, log: Path) -> None:
        self._running = running
        self._log = log
        self._log_read = 0
        self._rounds = 0
        self.has_flushed = False
        """Whether OPA has uploaded everything before it ended."""

    def is_running(self) -> bool:
        return self._running.is_running()

    def read(self, path: str) -> Any:
        """The data at a path such as ``docker/authz/fleet/about``; None if there is none.

        Raises ``EngineError``.
        """
        answer = self._get(f"/v1/data/{path}")
        return answer.get("result")

    def verified(self, root: str) -> Any:
        """The data of the bundle, whose only root this is; takes a moment.

        Raises ``UnverifiedError`` if OPA has put anything in place without its signature, and
        ``EngineError``.
        """
        for _ in range(_TRIES):
            before = self.status()
            document, roots = self.read(root), self.read(_ROOTS)
            time.sleep(_REPORTED)
            after = self.status()
            if before.activated == after.activated:
                break
        else:
            raise EngineError("OPA fetches one bundle after the other")
        if not (before.is_verified and after.is_verified and roots == [root]):
            raise UnverifiedError
        return document

    def status(self) -> BundleStatus:
        """The state of bundle and uploads; raises ``EngineError``."""
        return read_status(self._get(_STATUS, _STATUS_LIMIT))

    def hand_over(self, path: str, event: bytes) -> None:
        """Ask for the decision at a path with an event as input, so that OPA uploads both.

        Raises ``EngineError``; it is then not known whether OPA has the event.
        """
        question = b'{"input":' + event + b"}"
        status, _ = self._running.post(f"/v1/data/{path}", question, _HAND_OVER_LIMIT)
        if status != http.HTTPStatus.OK:
            raise EngineError("OPA does not take a decision", f"status {status}")

    def rounds(self) -> int:
        """How many rounds of uploads have succeeded since the last call."""
        self._read_log()
        found, self._rounds = self._rounds, 0
        return found

    def trim(self) -> None:
        """Remove what OPA would let grow: its log, and every bundle that a registry has had."""
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > _LOG_LIMIT:
                self._read_log()
                os.truncate(self._log, 0)
                self._log_read = 0
        blobs = self._log.parent.joinpath(_BLOBS).glob("*")
        with contextlib.suppress(OSError):
            newest = sorted(blobs, key=lambda blob: blob.stat().st_mtime, reverse=True)
            for blob in newest[_BLOBS_KEPT:]:
                blob.unlink()

    def stop(self) -> None:
        """Stop OPA, which uploads what it has before it ends, if the service takes it at once."""
        self._running.stop()
        self._read_log()

    def _read_log(self) -> None:
        """Count the rounds in the lines that OPA has logged since this was called last."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_read)
                content = log.read()
        except OSError:
            return
        lines = content[: content.rfind(b"\n") + 1]
        self._log_read += len(lines)
        self._rounds += lines.count(_ROUND)
        self.has_flushed = self.has_flushed or _FLUSHED in lines

    def _get(self, path: str, limit: float = _LIMIT) -> dict[str, Any]:
        status, body = self._running.get(path, limit)
        if status != http.HTTPStatus.OK:
            raise EngineError("OPA does not say what it has fetched", f"status {status}")
        try:
            answer: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise EngineError("OPA's answer is not JSON") from error
        return answer if isinstance(answer, dict) else {}


def start(
    opa: Opa,
    home: Path,
    configuration: Mapping[str, Any],
    files: Mapping[str, bytes],
    policy: Path | None = None,
) -> BundleClient:
    """Start OPA with a configuration in an empty folder ``home``.

    ``files`` are written there, under the names that the configuration has for them, because OPA's
    user may not read those of the settings. ``policy`` is a file with the rules for decisions that
    OPA uploads; without it there are none. Raises ``EngineSetupError`` and ``OSError``.
    """
    file, log = home / "opa.json", home / "opa.log"
    arguments = ["--config-file", file.name]
    files = {**files, file.name: orjson.dumps(configuration)}
    if policy is not None:
        arguments += ["--log-level=info", policy.name]
        files = {**files, policy.name: policy.read_bytes()}
    for name, content in files.items():
        (home / name).touch(0o600)
        (home / name).write_bytes(content)
    return BundleClient(child.run(opa, file, arguments, log, _LIMITS), log)


def _time(text: str) -> float:
    return 0.0 if not text or text.startswith("0001-") else datetime.fromisoformat(text).timestamp()


def _line(text: str) -> str:
    """What a service or OPA says, for a line of the log: short, printable, and without the queries
    of URLs, which may hold a signature that grants access."""
    shown = re.sub(r"\?[^\s\"]*=[^\s\"]*", "?…", text[: 8 * _FAULT_LIMIT])
    shown = "".join(character if character.isprintable() else " " for character in shown)
    return shown if len(shown) <= _FAULT_LIMIT else f"{shown[:_FAULT_LIMIT]}…"
