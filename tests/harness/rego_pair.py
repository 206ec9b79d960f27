"""A policy of a test in both engines: compiled as the plugin does it, and in OPA's server with
strict builtin errors."""

from __future__ import annotations

import http
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin.engine import child
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.compiled import DECISION, compile_policy
from authz_plugin.engine.transport import UnixTransport
from authz_plugin.engine.wasm import Instance, Machine
from authz_plugin.errors import EngineError
from tests.harness.policy_opa import DEADLINE

ERROR: Final = "an error"
UNDEFINED: Final = "undefined"
_BATCH: Final = 64
_BATCHES: Final = """
decisions := [answer |
	some call in input.calls
	answer := [call.id, decision] with input as call
]
"""


class RegoPair:
    """Evaluates ``data.docker.authz.decision`` of a module for input documents as JSON.

    A result is ``(value,)``, ``ERROR`` or ``UNDEFINED``. Numbers in values are ``Decimal``.
    """

    def __init__(self, machine: Machine, native: bytes, socket: Path) -> None:
        self._machine = machine
        self._module = machine.load(native)
        self._instance: Instance | None = None
        self._server = UnixTransport(socket, {"Content-Type": "application/json"})

    def embedded(self, document: str) -> Any:
        instance = self._instance or Instance(self._machine, self._module, b"{}")
        self._instance = None
        try:
            answer = _values(instance.answer(DECISION, document.encode()))
        except (EngineError, json.JSONDecodeError):
            return ERROR
        self._instance = instance
        return (answer[0]["result"],) if answer else UNDEFINED

    def server(self, document: str) -> Any:
        """The result of OPA's server."""
        answer = self._ask("decision", document, strict=True)
        if answer is None:
            return ERROR
        return (answer["result"],) if "result" in answer else UNDEFINED

    def differences(self, documents: Sequence[str]) -> list[tuple[str, Any, Any]]:
        """The objects ``documents`` for which the results differ, with both."""
        lax = self._lax(documents)
        found = []
        for number, document in enumerate(documents):
            embedded = self.embedded(document)
            if number in lax:
                server = lax[number]
            elif embedded == ERROR:
                continue  # an error in the server too, or undefined: the embedded one is stricter
            else:
                server = self.server(document)
            if server != embedded:
                found.append((document, server, embedded))
        return found

    def values(self, documents: Sequence[str]) -> int:
        """The number of documents for which the server has a value."""
        return len(self._lax(documents))

    def close(self) -> None:
        self._server.close()

    def _lax(self, documents: Sequence[str]) -> dict[int, Any]:
        """The values of the server without strict errors, by the numbers of their documents."""
        called = [f'{document[:-1]},"id":{number}}}' for number, document in enumerate(documents)]
        found: dict[int, Any] = {}
        for start in range(0, len(called), _BATCH):
            found |= self._lax_batch(called[start : start + _BATCH])
        return found

    def _lax_batch(self, calls: Sequence[str]) -> dict[int, Any]:
        answer = self._ask("decisions", f'{{"calls":[{",".join(calls)}]}}', strict=False)
        if answer is not None:
            return {int(number): (value,) for number, value in answer["result"]}
        if len(calls) == 1:
            return {}
        half = len(calls) // 2
        return self._lax_batch(calls[:half]) | self._lax_batch(calls[half:])

    def _ask(self, rule: str, document: str, *, strict: bool) -> Any:
        status, answer = self._server.exchange(
            "POST",
            f"/v1/data/docker/authz/{rule}?strict-builtin-errors={json.dumps(strict)}",
            b'{"input":%s}' % document.encode(),
            time.monotonic() + DEADLINE,
        )
        if status == http.HTTPStatus.OK:
            return _values(answer)
        assert status == http.HTTPStatus.INTERNAL_SERVER_ERROR, answer
        assert "error" in orjson.loads(answer)["code"], answer
        return None


def _values(answer: bytes) -> Any:
    return json.loads(answer, parse_int=Decimal, parse_float=Decimal)


@contextmanager
def rego_pair(opa: Opa, folder: Path, module: str) -> Iterator[RegoPair]:
    """Run a module of the package ``docker.authz`` in both engines; ``folder`` is an empty one."""
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "policy.rego").write_text(module)
    machine = Machine(DEADLINE)
    native = machine.compile(compile_policy(opa, bundle).module)
    (bundle / "policy.rego").write_text(module + _BATCHES)
    started = child.start(opa, bundle)
    pair = RegoPair(machine, native, started.socket)
    try:
        yield pair
    finally:
        pair.close()
        started.stop()
        machine.close()
