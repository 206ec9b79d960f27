"""The two engines, asked for the decision document itself."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin.engine.compiled import DECISION, CompiledPolicy, data_document, native_code
from authz_plugin.engine.projection import Projection, with_time
from authz_plugin.engine.wasm import Instance, Machine
from authz_plugin.errors import EngineError
from tests.harness.embedded_policy import CACHE
from tests.harness.policy_opa import DEADLINE, POLICY_FAILED, PolicyOpa

_SETS: Final = ("denials", "warnings", "evaluated")
"""The parts of a decision whose order means nothing."""


class Server:
    """OPA's server with strict builtin errors, under one configuration."""

    def __init__(self, running: PolicyOpa, config: Mapping[str, Any]) -> None:
        self._engine = running.engine(config)

    def answers(self, documents: Sequence[bytes]) -> list[str | None]:
        """For each document, the decision in its canonical form, or None if there is none."""
        if not documents:
            return []
        name = self._engine._configuration
        question = b'{"input":{"configuration":"%s","documents":[%s]}}' % (
            name.encode(),
            b",".join(documents),
        )
        path = "/v1/data/docker/authz/tested/decisions?strict-builtin-errors=true"
        status, answer = self._engine._ask(path, question, "")
        if status == http.HTTPStatus.OK:
            found = _numbers_as_text(answer).get("result", [])
            if len(found) == len(documents):
                return list(map(canonical, found))
        else:
            error = f"OPA answered with status {status}: {_code(answer)}"
            if not POLICY_FAILED.search(error):
                raise EngineError(error)
        if len(documents) == 1:
            return [None]
        half = len(documents) // 2
        return [*self.answers(documents[:half]), *self.answers(documents[half:])]

    def close(self) -> None:
        self._engine.close()


class Embedded:
    """The compiled policy in this process, under one configuration; for one thread."""

    def __init__(self, policy: CompiledForBoth, config: Mapping[str, Any]) -> None:
        self._policy = policy
        self._data = policy.data(config)
        self._instance: Instance | None = None

    def answers(self, documents: Sequence[bytes]) -> list[str | None]:
        """For each document, the decision in its canonical form, or None if there is none."""
        return list(map(self._answer, documents))

    def _answer(self, document: bytes) -> str | None:
        instance = self._instance or self._policy.instance(self._data)
        self._instance = None
        try:
            found = _numbers_as_text(instance.answer(DECISION, self._policy.part(document)))
        except EngineError:
            return None
        self._instance = instance
        return canonical(found[0]["result"]) if found else None


class CompiledForBoth:
    """A compiled policy and the data of the bundle that the server has loaded."""

    def __init__(self, compiled: CompiledPolicy, bundle: Path) -> None:
        self._machine = Machine(DEADLINE)
        self._module = self._machine.load(native_code(self._machine, compiled, CACHE))
        self._part = Projection(compiled.dependencies)
        self._bundle = data_document(bundle)

    def part(self, document: bytes) -> bytes:
        """What the policy can read of a document, with numbers as they are written."""
        loaded = json.loads(document, parse_int=orjson.Fragment, parse_float=orjson.Fragment)
        return with_time(self._part(loaded), loaded)

    def data(self, config: Mapping[str, Any]) -> bytes:
        authz = {**self._bundle["docker"]["authz"], "config": config}
        return orjson.dumps({"docker": {"authz": authz}})

    def instance(self, data: bytes) -> Instance:
        return Instance(self._machine, self._module, data)

    def close(self) -> None:
        self._machine.close()


def _code(answer: bytes) -> str:
    """The code of the first error in an answer: ``eval_builtin_error``."""
    document = orjson.loads(answer)
    return str((document.get("errors") or [document])[0]["code"])


def canonical(decision: Any) -> str:
    """A decision as JSON: sets sorted, keys sorted, numbers as the engine wrote them."""
    if isinstance(decision, dict):
        decision = {
            name: sorted(value, key=_written)
            if name in _SETS and isinstance(value, list)
            else value
            for name, value in decision.items()
        }
    return _written(decision)


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _numbers_as_text(answer: bytes) -> Any:
    return json.loads(answer, parse_int=_number, parse_float=_number)


def _number(text: str) -> dict[str, str]:
    return {"\0number": text}
