"""AuthZ messages that dockerd sent to a plugin for requests of real clients.

``python -m tests.corpus`` records them, with a plugin that allows every request. Folders of the
machine are replaced by ``/srv/app``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent / "requests.jsonl"
WORKSPACE: Final = "/srv/app"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded request of a client to an engine."""

    client: str
    engine: str
    method: str
    uri: str
    headers: dict[str, str]
    body: str

    @property
    def message(self) -> dict[str, Any]:
        """The AuthZReq message of the request."""
        message: dict[str, Any] = {
            "RequestMethod": self.method,
            "RequestUri": self.uri,
            "RequestHeaders": self.headers,
        }
        if self.body:
            message["RequestBody"] = base64.b64encode(self.body.encode()).decode()
        return message


def recorded() -> Iterator[Recorded]:
    """Yield all recorded requests."""
    for line in FILE.read_text().splitlines():
        yield Recorded(**json.loads(line))
