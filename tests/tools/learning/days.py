"""Days to learn from: requests that a policy decided, as an audit file has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin.journal.audit import AuditFile, AuditOptions, Entry
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.journal.recording import AuditedDecision, RecordedDecision, recorded, restored
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import Sandbox

WARN: Final = {"profile": "production", "mode": "warn"}


def create(top: dict[str, Any] | None = None, query: str = "", **host: Any) -> Request:
    """A request for a container of ``alpine:3``."""
    body = {"Image": "alpine:3", **(top or {}), "HostConfig": host}
    return post(f"/containers/create{query}", body)


def post(path: str, body: Any) -> Request:
    return Request.of_json("POST", f"/v1.44{path}", body)


def send(path: str, method: str = "POST") -> Request:
    """A request without a body."""
    return Request(method, f"/v1.44{path}")


def get(path: str) -> Request:
    return send(path, "GET")


def message(request: Request, user: str = "") -> bytes:
    return authz_message(request, Client(user))


def day(
    sandbox: Sandbox,
    requests: Iterable[Request],
    config: dict[str, Any] | None = None,
    user: str = "",
) -> list[AuditedDecision]:
    """Requests decided by a configuration, that of the sandbox by default, and recorded."""
    found = []
    for seq, (record, form) in enumerate(_decided(sandbox, requests, config, user)):
        document = None if form is None else restored(orjson.loads(form))
        found.append(AuditedDecision(seq, record.to_document(), document))
    return found


def write_day(
    file: Path,
    sandbox: Sandbox,
    requests: Iterable[Request],
    config: dict[str, Any] | None = None,
    user: str = "",
) -> None:
    """Requests decided by a configuration, in an audit file."""
    audit = AuditFile(AuditOptions(file=file, inputs=True), lambda _: None)
    entries: list[Entry] = [
        record if form is None else RecordedDecision(record, form)
        for record, form in _decided(sandbox, requests, config, user)
    ]
    assert audit.write(entries)
    audit.close()


def _decided(
    sandbox: Sandbox, requests: Iterable[Request], config: dict[str, Any] | None, user: str
) -> Iterator[tuple[DecisionRecord, bytes | None]]:
    complete = None if config is None else sandbox.configured(config)
    for request in requests:
        judgement = sandbox.judge(message(request, user), complete)
        record, document = judgement.record, judgement.document
        is_recorded = record.by_policy and document is not None
        yield record, recorded(document or {}) if is_recorded else None
