"""Messages of dockerd's to a plugin of profile ``production``: what passes, and what must not."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import orjson

REQUEST: Final = "/AuthZPlugin.AuthZReq"

LIST: Final = {"RequestMethod": "GET", "RequestUri": "/v1.41/containers/json"}
VOLUMES: Final = {"RequestMethod": "GET", "RequestUri": "/v1.41/volumes"}


def create(**fields: Any) -> dict[str, Any]:
    """The message about a container that is to be made."""
    content = orjson.dumps({"Image": "x:1", **fields})
    return {
        "RequestMethod": "POST",
        "RequestUri": "/v1.41/containers/create",
        "RequestHeaders": {"Content-Type": "application/json", "Content-Length": str(len(content))},
        "RequestBody": base64.b64encode(content).decode(),
    }


def numbered(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A message that was never sent before, if its number was not."""
    query = f"name=n{number}" if message["RequestMethod"] == "POST" else f"limit={number}"
    return {**message, "RequestUri": f"{message['RequestUri']}?{query}"}
