"""Policies of any folder in the embedded engine, with the interface of ``policy_opa``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from authz_plugin import policy
from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.compiled import DECISION, compile_policy
from authz_plugin.engine.wasm import Instance, Machine
from authz_plugin.errors import EngineError
from tests.harness.policy_opa import DEADLINE


class EmbeddedPolicy:
    """A compiled policy; see ``compiled_policy``."""

    def __init__(self, machine: Machine, module: bytes) -> None:
        self._machine = machine
        self._module = machine.load(machine.compile(module))

    def engine(self, config: Mapping[str, Any] | None) -> ConfiguredEmbedded:
        """An engine that decides under a configuration; without one if that is None."""
        required = policy.shipped_rules()
        authz: dict[str, Any] = {"bundle": {"revision": "1", "packages": sorted(required)}}
        if config is not None:
            authz["config"] = config
        data = orjson.dumps({"docker": {"authz": authz}})
        return ConfiguredEmbedded(lambda: Instance(self._machine, self._module, data), required)


class ConfiguredEmbedded:
    """Decides under one configuration, in one thread."""

    def __init__(self, make: Any, required: frozenset[str]) -> None:
        self._make = make
        self._required = required
        self._instance: Instance | None = None

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del decision_id
        instance = self._instance or self._make()
        self._instance = None
        answer = instance.evaluate(DECISION, orjson.dumps(document))
        self._instance = instance
        return read_decision(answer, self._required)

    def decide_or_fail(self, document: dict[str, Any]) -> Decision | None:
        """The decision on a document, or None if there is none, which the plugin denies."""
        try:
            return self.decide(document)
        except EngineError:
            return None

    def decide_each(self, documents: Sequence[dict[str, Any]]) -> list[Decision | None]:
        return list(map(self.decide_or_fail, documents))

    def close(self) -> None:
        self._instance = None


@contextmanager
def compiled_policy(
    opa: Opa, sources: Path = policy.SHIPPED / policy.ROOT
) -> Iterator[EmbeddedPolicy]:
    """The policies in a folder, compiled as the plugin compiles them."""
    machine = Machine(DEADLINE)
    try:
        yield EmbeddedPolicy(machine, compile_policy(opa, sources).module)
    finally:
        machine.close()
