"""The shipped policies in this process, under any policy configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from authz_plugin import policy
from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine import binary
from authz_plugin.engine.compiled import find_compiled
from authz_plugin.engine.configurable import ConfigurablePolicy
from authz_plugin.errors import EngineError
from tests.harness.policy_opa import DEADLINE

ABOUT = {"revision": "0123456789ab", "packages": sorted(policy.shipped_rules())}


class EmbeddedEngine:
    """An engine that decides under one configuration."""

    def __init__(self, shared: ConfigurablePolicy, config: Mapping[str, Any]) -> None:
        self._shared = shared
        self._config = config
        self._required = policy.shipped_rules()

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del decision_id
        return read_decision(self._shared.decision(document, self._config), self._required)

    def decision(self, document: Mapping[str, Any]) -> Any:
        """The decision document; raises ``EngineError``."""
        return self._shared.decision(document, self._config)

    def decide_or_fail(self, document: dict[str, Any]) -> Decision | None:
        """The decision on a document, or None where there is none, which the plugin denies."""
        try:
            return self.decide(document)
        except EngineError:
            return None

    def decide_each(self, documents: Sequence[dict[str, Any]]) -> list[Decision | None]:
        """The decisions on documents, in their order and as ``decide_or_fail`` gives them; equal
        documents are decided once."""
        decided: dict[bytes, Decision | None] = {}
        keys = [orjson.dumps(document, option=orjson.OPT_SORT_KEYS) for document in documents]
        for key, document in zip(keys, documents, strict=True):
            if key not in decided:
                decided[key] = self.decide_or_fail(document)
        return [decided[key] for key in keys]


@contextmanager
def embedded_policy(folder: Path) -> Iterator[ConfigurablePolicy]:
    """The shipped policies, for as long as they are used; native code is kept in a folder."""
    compiled = find_compiled(policy.SHIPPED, policy.SHIPPED / "compiled", folder, binary.find)
    shared = ConfigurablePolicy(compiled, ABOUT, DEADLINE, folder)
    try:
        yield shared
    finally:
        shared.close()
