"""A compiled policy that decides under configurations that are given with each question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin.engine.compiled import DECISION, CompiledPolicy, native_code
from authz_plugin.engine.wasm import Instance, Machine
from authz_plugin.interrupts import postponed

_KEPT: Final = 16
"""Configurations whose instances are kept; those of the least recently used are removed first."""

_IDLE: Final = 4
"""Instances that are kept for a configuration, at most."""


_LARGEST_IDLE: Final = 4 << 20
"""The size in bytes of the memory of an instance that is kept, at most."""


class ConfigurablePolicy:
    """Evaluates a compiled policy; threads can use it at the same time.

    ``about`` is the part of its data that is not the configuration (``data.docker.authz.bundle``);
    ``deadline`` is the time in seconds that a decision may take; ``cache`` is a folder that keeps
    native code. Raises ``EngineSetupError``.
    """

    def __init__(
        self, compiled: CompiledPolicy, about: Mapping[str, Any], deadline: float, cache: Path
    ) -> None:
        self._about = about
        self._machine = Machine(deadline)
        self._module = self._machine.load(native_code(self._machine, compiled, cache))
        self._idle: OrderedDict[bytes, list[Instance]] = OrderedDict()
        self._lock = threading.Lock()

    def under(self, config: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Any]:
        """A function that returns the decision document on an input document under a configuration
        as it is now, or raises ``EngineError``."""
        data = {"docker": {"authz": {"bundle": self._about, "config": config}}}
        key = orjson.dumps(data)
        return lambda document: self._decision(document, key)

    def _decision(self, document: Mapping[str, Any], key: bytes) -> Any:
        with self._lock:
            idle = self._idle.setdefault(key, [])
            self._idle.move_to_end(key)
            while len(self._idle) > _KEPT:
                self._idle.popitem(last=False)
            instance = idle.pop() if idle else None
        with postponed():
            if instance is None:
                instance = Instance(self._machine, self._module, key)
            answer = instance.evaluate(DECISION, orjson.dumps(document))
        if len(idle) < _IDLE and instance.size <= _LARGEST_IDLE:
            idle.append(instance)
        return answer

    def close(self) -> None:
        """Release the policy; the decisions in progress must have been made."""
        self._machine.close()
        self._idle.clear()
