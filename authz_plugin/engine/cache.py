"""An engine that caches the repeatable decisions of another engine.

A decision is repeatable if it depends only on the policy and on the input document without its
time. The key of the cache is a hash of both. The policy is identified by the target of the symbolic
link to OPA's socket: a reload changes this target when the new policy takes effect, so that later
lookups do not find decisions of the old policy.
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
"""The maximum number of decisions in the cache; the least recently used one is removed first."""


class CachingEngine:
    """Returns cached decisions, and asks another engine for all others.

    ``socket`` is the symbolic link to OPA's socket. If it is not a link, nothing is cached.
    """

    def __init__(self, engine: Engine, socket: Path, size: int = SIZE) -> None:
        self._engine = engine
        self._socket = str(socket)
        self._size = size
        self._cached: OrderedDict[bytes, Decision] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    def figures(self) -> tuple[int, int, int]:
        """Hits, misses and entries."""
        return self._hits, self._misses, len(self._cached)

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        policy = self._policy()
        if not policy:
            return self._engine.decide(document, decision_id)
        key = sha256(orjson.dumps([policy, {**document, "time": ""}])).digest()
        with self._lock:
            decision = self._cached.get(key)
            if decision is not None:
                self._cached.move_to_end(key)
                self._hits += 1
                return decision
            self._misses += 1
        decision = self._engine.decide(document, decision_id)
        if decision.repeatable:
            with self._lock:
                self._cached[key] = decision
                if len(self._cached) > self._size:
                    self._cached.popitem(last=False)
        return decision

    def _policy(self) -> str:
        """The target of the link, or an empty string if there is none.

        It must be read before the engine is asked: if the policy changes in between, the decision
        of the new policy is cached under the old target, which later lookups do not use.
        """
        try:
            return os.readlink(self._socket)  # noqa: PTH115 - three times as quick
        except OSError:
            return ""
