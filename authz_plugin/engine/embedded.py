"""The embedded engine: policies that OPA has compiled to WebAssembly, in this process.

The supervisor writes each policy into a folder of its own (``prepare``) and then changes a symbolic
link to it. ``EmbeddedEngine`` follows the link: decisions that begin after the change are those of
the new policy.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import wasmtime

from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine.cache import PolicyInForce
from authz_plugin.engine.compiled import DECISION, CompiledPolicy, data_document, native_code
from authz_plugin.engine.projection import Dependencies, Projection, with_time
from authz_plugin.engine.wasm import LARGE, SMALL, Instance, Machine, MemoryLimitError
from authz_plugin.errors import EngineError, EngineSetupError

NATIVE: Final = "policy.native"
"""The name of the file with the native code of a policy."""

_DATA: Final = "policy.json"
_DEPENDENCIES: Final = "dependencies.json"

_IDLE: Final = 8
"""Unused instances that are kept, at most."""

_SMALL_DOCUMENT: Final = 1 << 17
_LARGE_AT_ONCE: Final = 2
"""Decisions for which an instance of the size ``LARGE`` is made, at the same time, at most. With
128 threads they grow by less than 128 * SMALL + 2 * LARGE, 320 MiB; each has 0.3 MiB before."""

_RETRY_EVERY: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A policy in memory; ``target`` is the content of the symbolic link when it was loaded.

    ``part`` returns what it can read of an input document. ``varies`` says that its decisions may
    differ for the same document.
    """

    target: str
    part: Projection
    varies: bool
    module: wasmtime.Module
    data: bytes
    idle: list[Instance] = field(default_factory=list)


class EmbeddedEngine:
    """Decides with the policy to which a symbolic link leads.

    ``required`` names the rule packages without which a decision is incomplete; ``deadline`` is the
    time in seconds that a decision may take; ``before_waiting`` is called before each evaluation.
    Threads can use it at the same time: each decision has an instance of the policy for itself. The
    policy gets the part of an input document that it can read.
    """

    def __init__(
        self,
        link: Path,
        required: frozenset[str],
        deadline: float,
        before_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = str(link)
        self._required = required
        self._deadline = deadline
        self._before_waiting = before_waiting
        self._machine = Machine(deadline)
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()
        self._large = threading.BoundedSemaphore(_LARGE_AT_ONCE)

    def load(self) -> None:
        """Load the policy now instead of at the first decision; raises ``EngineError``."""
        loaded = self._current()
        loaded.idle.append(Instance(self._machine, loaded.module, loaded.data, SMALL))

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del decision_id
        loaded = self._current()
        return self._decide(loaded, document, loaded.part(document))

    def _decide(self, loaded: _Loaded, document: Mapping[str, Any], part: bytes) -> Decision:
        self._before_waiting()
        end = time.monotonic() + self._deadline
        question = with_time(part, document)
        if len(question) <= _SMALL_DOCUMENT:
            with contextlib.suppress(MemoryLimitError):
                return read_decision(self._ask(loaded, question, end), self._required)
        return read_decision(self._ask_large(loaded, question, end), self._required)

    def _ask(self, loaded: _Loaded, question: bytes, end: float) -> Any:
        try:
            instance = loaded.idle.pop()
        except IndexError:
            instance = Instance(self._machine, loaded.module, loaded.data, SMALL)
        # An instance that raises is not used again.
        answer = instance.evaluate(DECISION, question, end)
        if len(loaded.idle) < _IDLE:
            loaded.idle.append(instance)
        return answer

    def _ask_large(self, loaded: _Loaded, question: bytes, end: float) -> Any:
        if not self._large.acquire(timeout=max(0.0, end - time.monotonic())):
            raise EngineError("too many large requests are decided at the same time")
        try:
            with closing(Instance(self._machine, loaded.module, loaded.data, LARGE)) as instance:
                return instance.evaluate(DECISION, question, end)
        finally:
            self._large.release()

    def in_force(self) -> PolicyInForce | None:
        """The policy that decides at this moment, for a cache; None if there is none, or one whose
        decisions must not be cached."""
        try:
            loaded = self._current()
        except EngineError:
            return None
        if loaded.varies:
            return None
        return PolicyInForce(loaded.target, loaded.part, partial(self._decide, loaded))

    def close(self) -> None:
        """Release the policy; no decision may be in progress."""
        self._machine.close()
        self._loaded = None

    def _current(self) -> _Loaded:
        """The policy in force, which is loaded if the link has changed."""
        loaded = self._loaded
        with contextlib.suppress(OSError):
            target = os.readlink(self._link)  # noqa: PTH115 - three times as quick
            if loaded is not None and loaded.target == target:
                return loaded
        with self._lock:
            return self._load()

    def _load(self) -> _Loaded:
        end = time.monotonic() + self._deadline
        while True:
            try:
                target = Path(self._link).readlink()
                if self._loaded is None or self._loaded.target != str(target):
                    self._loaded = self._loaded_from(target)
            except OSError as error:  # the link has changed again, or the supervisor has ended
                if time.monotonic() + _RETRY_EVERY >= end:
                    raise EngineError("there is no policy") from error
                time.sleep(_RETRY_EVERY)
            except EngineSetupError as error:
                raise EngineError("the policy cannot be loaded", str(error)) from error
            else:
                return self._loaded

    def _loaded_from(self, folder: Path) -> _Loaded:
        module = self._machine.load((folder / NATIVE).read_bytes())
        dependencies = Dependencies.from_json(orjson.loads((folder / _DEPENDENCIES).read_bytes()))
        data = (folder / _DATA).read_bytes()
        part, varies = Projection(dependencies), bool(dependencies.varying)
        return _Loaded(str(folder), part, varies, module, data)


def prepare(compiled: CompiledPolicy, bundle: Path, folder: Path, cache: Path) -> None:
    """Write the files that ``EmbeddedEngine`` loads into a folder, with the data of a bundle.

    ``cache`` is a folder that keeps native code. Raises ``EngineSetupError`` and ``OSError``.
    """
    machine = Machine(1.0)
    try:
        native = native_code(machine, compiled, cache)
    finally:
        machine.close()
    (folder / NATIVE).write_bytes(native)
    (folder / _DEPENDENCIES).write_bytes(orjson.dumps(compiled.dependencies.to_json()))
    data = data_document(bundle)
    data["docker"]["authz"]["bundle"]["timeless"] = compiled.dependencies.timeless
    (folder / _DATA).write_bytes(orjson.dumps(data))
