"""Reads files of requests with one JSON object on each line."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from authz_plugin.errors import SetupError


def is_corpus(data: bytes) -> bool:
    """Return whether a file has several lines, each of them a JSON object."""
    lines = [line for line in data.splitlines() if line.strip()]
    return len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for line in lines)


def read_corpus(data: bytes, name: str) -> Iterator[bytes]:
    """Yield an AuthZReq message for each line of a file; ``name`` is the file's in errors.

    A line is an AuthZReq message (``RequestMethod``, ``RequestUri``, …), or a request with
    ``method``, ``uri``, ``headers`` and ``body`` as text. Raises ``SetupError`` with the line's
    number if it is neither.
    """
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise SetupError(f"{name}:{number}: is not JSON: {error}") from error
        if isinstance(fields, dict) and "decision_id" in fields:
            raise SetupError(f"{name}:{number}: is a decision: name an audit file with --file")
        if not isinstance(fields, dict) or not {"method", "RequestMethod"} & fields.keys():
            raise SetupError(
                f"{name}:{number}: is neither a message of dockerd's to a plugin (RequestMethod, "
                "RequestUri, …) nor a request (method, uri, headers, body)"
            )
        yield line if "RequestMethod" in fields else json.dumps(_message(fields)).encode()


def _message(request: Mapping[str, Any]) -> dict[str, Any]:
    message = {
        "RequestMethod": request["method"],
        "RequestUri": request.get("uri", ""),
        "RequestHeaders": request.get("headers") or {},
    }
    body = str(request.get("body") or "")
    return {**message, "RequestBody": base64.b64encode(body.encode()).decode()} if body else message
