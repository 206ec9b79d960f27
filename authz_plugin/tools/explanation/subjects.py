"""Reads what ``explain`` and ``replay`` are given: AuthZ messages, HTTP requests and records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from authz_plugin.errors import SetupError
from authz_plugin.renamed import current_record
from authz_plugin.tools.docker_client import Request

DECISION_ID: Final = re.compile(r"[0-9a-f]{16}")

_REQUEST_LINE: Final = re.compile(r"(\S+) (\S+) HTTP/1\.[01]")


def find_record(decision_id: str, lines: Iterable[str]) -> dict[str, Any]:
    """Return the record of a decision from the lines of a log or an audit file.

    Text before the JSON object of a line is ignored. The record that the plugin writes on
    dockerd's AuthZRes message is added under ``outcome``. Raises ``SetupError`` if there is no
    such decision.
    """
    decision: dict[str, Any] = {}
    outcome: dict[str, Any] = {}
    for line in lines:
        fields = _record(line) if decision_id in line else {}
        if fields.get("decision_id") != decision_id:
            continue
        if "verdict" in fields:
            decision = current_record(fields)
        else:
            outcome = fields
    if not decision:
        raise SetupError(
            f"no decision {decision_id} there; allowed requests are in the audit file, and in the "
            "log at log.level debug only"
        )
    return {**decision, "outcome": outcome} if outcome else decision


def _record(line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line[line.index("{") :])
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def read_subject(data: bytes) -> bytes | Request | Mapping[str, Any]:
    """Return the content of a file: an AuthZReq message, an HTTP request or a decision record.

    An AuthZReq message is returned as bytes, a decision record as a mapping. Raises ``SetupError``
    if the content is none of these.
    """
    if not data.lstrip().startswith(b"{"):
        return read_http(data)
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise SetupError(f"this is not one JSON object: {error}") from error
    if "decision_id" in fields:
        return current_record(fields)
    if "RequestMethod" not in fields:
        raise SetupError(
            "this JSON is neither a message of dockerd's to a plugin (RequestMethod, RequestUri, "
            "…) nor a decision record"
        )
    return data


def read_http(data: bytes) -> Request:
    """Parse the text of an HTTP/1.1 request, with lines that end in CR LF or LF.

    Content-Length is ignored, so that a body can be edited by hand. Raises ``SetupError`` if the
    text is not an HTTP request.
    """
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *rest = head.decode("latin-1").split("\n")
    found = _REQUEST_LINE.fullmatch(first.strip())
    if found is None:
        raise SetupError(
            f"{first[:60]!r} does not begin an HTTP request: `POST /v1.44/containers/create "
            "HTTP/1.1`, header lines, an empty line, the body"
        )
    headers = []
    for line in filter(None, rest):
        name, colon, value = line.partition(":")
        if not colon:
            raise SetupError(f"{line[:60]!r} is not a header line")
        headers.append((name.strip(), value.strip()))
    coding = {value.lower() for name, value in headers if name.lower() == "transfer-encoding"}
    chunked = "chunked" in coding
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() not in {"content-length", "transfer-encoding", "connection"}
    ]
    content = _unchunked(body) if chunked else body.strip()
    return Request(found[1], found[2], tuple(kept), content, chunked)


def _unchunked(body: bytes) -> bytes:
    content = b""
    while body:
        size, _, rest = body.partition(b"\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            raise SetupError(f"{size[:20]!r} is not the size of a chunk") from None
        if length == 0:
            return content
        content, body = content + rest[:length], rest[length:].lstrip(b"\n")
    raise SetupError("the chunked body does not end")
