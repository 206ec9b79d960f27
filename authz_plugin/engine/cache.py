"""Decisions that were made before, for requests that say the same under the same policy.

A decision that the policy calls repeatable depends on the policy and on the input document without
its time. It is given again only for a document that is the same in every other key, and only while
the policy that made it is in force. That policy is told by where the link to OPA's socket leads: a
reload moves the link when the new policy takes over, and nothing that the old one decided is found
from that moment on.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin.decision import Decision
from authz_plugin.engine import Engine

SIZE: Final = 4096
"""Decisions that are remembered, at most; the one that was asked for least recently goes first."""


class CachingEngine:
    """Asks another engine what it does not remember.

    ``socket`` is the link to OPA's socket. Where it is no link, nothing is remembered.
    """

    def __init__(self, engine: Engine, socket: Path, size: int = SIZE) -> None:
        self._engine = engine
        self._socket = str(socket)
        self._size = size
        self._remembered: OrderedDict[bytes, Decision] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    def figures(self) -> tuple[int, int, int]:
        """Hits, misses and entries."""
        return self._hits, self._misses, len(self._remembered)

    def decide(self, document: dict[str, Any]) -> Decision:
        policy = self._policy()
        if not policy:
            return self._engine.decide(document)
        key = sha256(orjson.dumps([policy, {**document, "time": ""}])).digest()
        with self._lock:
            decision = self._remembered.get(key)
            if decision is not None:
                self._remembered.move_to_end(key)
                self._hits += 1
                return decision
            self._misses += 1
        decision = self._engine.decide(document)
        if decision.repeatable:
            with self._lock:
                self._remembered[key] = decision
                if len(self._remembered) > self._size:
                    self._remembered.popitem(last=False)
        return decision

    def _policy(self) -> str:
        """Where the link leads, or nothing. It is read before the engine is asked: what a newer
        policy decides meanwhile is kept as the older one's, which nobody asks for again."""
        try:
            return os.readlink(self._socket)  # noqa: PTH115 - three times as quick
        except OSError:
            return ""
