"""An engine that caches the repeatable decisions of another engine.

A decision is repeatable if it depends only on the policy and on the input document without its
time. The key of the cache is a hash of the policy's identity and of the part of the document that
the policy can read, or of the whole document where that part is not known.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from authz_plugin.decision import Decision
from authz_plugin.engine import Engine
from authz_plugin.engine.projection import TIME

SIZE: Final = 4096
"""The maximum number of decisions in the cache; the least recently used one is removed first."""


class PolicyInForce(NamedTuple):
    """What the cache must know of a policy.

    ``identity`` is different for every policy that takes effect. ``part`` returns what the policy
    can read of an input document, without its time. ``decide`` decides by this policy on a document
    of which the part is known already; if it is None, the engine is asked.
    """

    identity: str
    part: Callable[[Mapping[str, Any]], bytes]
    decide: Callable[[Mapping[str, Any], bytes], Decision] | None = None


def whole_document(document: Mapping[str, Any]) -> bytes:
    """The ``part`` of a policy of which it is not known what it reads."""
    return orjson.dumps({**document, TIME: ""})


def policy_behind(socket: Path) -> Callable[[], PolicyInForce | None]:
    """The policy of the OPA behind a symbolic link to its socket, or None if it is no link.

    A reload changes the link's target when the new policy takes effect, so that later lookups do
    not find decisions of the old policy.
    """
    link = str(socket)

    def in_force() -> PolicyInForce | None:
        try:
            target = os.readlink(link)  # noqa: PTH115 - three times as quick
        except OSError:
            return None
        return PolicyInForce(target, whole_document) if target else None

    return in_force


class CachingEngine:
    """Returns cached decisions, and asks another engine for all others.

    ``in_force`` returns the policy that decides at this moment; nothing is cached while that is
    None. It is called for every decision, and before the engine is asked: if the engine's policy
    changes in between, the decision of the new policy is cached under the old identity, which later
    lookups do not use.
    """

    def __init__(
        self, engine: Engine, in_force: Callable[[], PolicyInForce | None], size: int = SIZE
    ) -> None:
        self._engine = engine
        self._in_force = in_force
        self._size = size
        self._cached: OrderedDict[bytes, Decision] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    def figures(self) -> tuple[int, int, int]:
        """Hits, misses and entries."""
        return self._hits, self._misses, len(self._cached)

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        policy = self._in_force()
        if policy is None:
            return self._engine.decide(document, decision_id)
        part = policy.part(document)
        key = sha256(policy.identity.encode() + b"\0" + part).digest()
        with self._lock:
            decision = self._cached.get(key)
            if decision is not None:
                self._cached.move_to_end(key)
                self._hits += 1
                return decision
            self._misses += 1
        if policy.decide is None:
            decision = self._engine.decide(document, decision_id)
        else:
            decision = policy.decide(document, part)
        if decision.repeatable:
            with self._lock:
                self._cached[key] = decision
                if len(self._cached) > self._size:
                    self._cached.popitem(last=False)
        return decision
