"""Input documents of requests, as tests of rules and ``opa eval`` read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from authz_plugin import dockerd, protocol
from authz_plugin.caller import read_caller
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import Refused, SetupError
from authz_plugin.hostpaths import PlainHostPaths


def document_of(message: bytes) -> dict[str, Any]:
    """Return the input document of a message, the body of an ``/AuthZPlugin.AuthZReq``.

    It is that of a host on which every path exists and none is a symbolic link, and whose volumes
    and containers are not known. Raises ``SetupError`` if the plugin denies the request before it
    asks the policy.
    """
    try:
        request = protocol.read_request(message)
        canonical = dockerd.read(request.method, request.uri, request.headers, request.body)
        caller = read_caller(request, frozenset)
    except Refused as refusal:
        raise SetupError(f"no rule gets this request, the plugin denies it: {refusal}") from None
    now = datetime.now(UTC)
    document = input_document(canonical, caller, PlainHostPaths(), now, UnseenEngineState())
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain
