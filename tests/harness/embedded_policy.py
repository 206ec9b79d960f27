"""Compiled policies in this process, under any policy configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin import policy
from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine import binary
from authz_plugin.engine.compiled import DECISION, CompiledPolicy, find_compiled, native_code
from authz_plugin.engine.configurable import ConfigurablePolicy
from authz_plugin.engine.wasm import Instance, Machine
from authz_plugin.errors import EngineError
from tests.harness.policy_opa import DEADLINE

COMPILED: Final = policy.SHIPPED / "compiled"
"""The compiled form of the shipped policies, which ``make`` writes."""

CACHE: Final = Path(__file__).parents[2] / ".cache/policies"
"""The folder that keeps what the tests compile, and native code."""

ABOUT = {"revision": "0123456789ab", "packages": sorted(policy.shipped_rules())}


class EmbeddedEngine:
    """An engine that decides under one configuration. ``decision`` returns the decision document on
    an input document, or raises ``EngineError``."""

    def __init__(self, decision: Callable[[Mapping[str, Any]], Any]) -> None:
        self.decision = decision
        self._required = policy.shipped_rules()

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del decision_id
        return read_decision(self.decision(document), self._required)

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

    def close(self) -> None:
        """Do nothing: the policy is closed by who opened it."""


@contextmanager
def embedded_policy() -> Iterator[Callable[[Mapping[str, Any]], EmbeddedEngine]]:
    """Engines of the shipped policies, as the tools use them."""
    compiled = find_compiled(policy.SHIPPED, COMPILED, CACHE, binary.find)
    shared = ConfigurablePolicy(compiled, ABOUT, DEADLINE, CACHE)
    try:
        yield lambda config: EmbeddedEngine(shared.under(config))
    finally:
        shared.close()


class EmbeddedPolicy:
    """A policy that may be damaged; see ``compiled_policy``."""

    def __init__(self, machine: Machine, compiled: CompiledPolicy) -> None:
        self._machine = machine
        self._module = machine.load(native_code(machine, compiled, CACHE))

    def engine(self, config: Mapping[str, Any] | None) -> EmbeddedEngine:
        """An engine that decides under a configuration; without one if that is None."""
        authz = {"bundle": ABOUT} if config is None else {"bundle": ABOUT, "config": config}
        data = orjson.dumps({"docker": {"authz": authz}})
        instances: list[Instance] = []

        def decision(document: Mapping[str, Any]) -> Any:
            made = instances.pop() if instances else Instance(self._machine, self._module, data)
            answer = made.evaluate(DECISION, orjson.dumps(document))
            instances.append(made)
            return answer

        return EmbeddedEngine(decision)


@contextmanager
def compiled_policy(
    opa: binary.Opa, sources: Path = policy.SHIPPED / policy.ROOT
) -> Iterator[EmbeddedPolicy]:
    """The policies in a folder, compiled as the plugin compiles them; ``make`` has compiled the
    shipped ones."""
    machine = Machine(DEADLINE)
    try:
        yield EmbeddedPolicy(machine, find_compiled(sources, COMPILED, CACHE, lambda: opa))
    finally:
        machine.close()
