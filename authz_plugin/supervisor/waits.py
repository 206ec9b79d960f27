"""Parts of a decision that may have to wait, for OPA or a disk. Each calls a function before it
waits, so that the server can have another thread answer other messages (``exchange``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authz_plugin.decision import Decision
from authz_plugin.engine import Engine
from authz_plugin.enginestate import EngineState
from authz_plugin.hostpaths import HostPaths, Resolution

Warn = Callable[[], None]
"""Called before anything that may wait."""


class WaitingEngine:
    """An engine whose decisions take a while."""

    def __init__(self, engine: Engine, warn: Warn) -> None:
        self._engine = engine
        self._warn = warn

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        self._warn()
        return self._engine.decide(document, decision_id)


class WaitingHostPaths:
    """Host paths on a disk."""

    def __init__(self, host_paths: HostPaths, warn: Warn) -> None:
        self._host_paths = host_paths
        self._warn = warn

    def resolve(self, path: str) -> Resolution:
        self._warn()
        return self._host_paths.resolve(path)

    def holds_mounts(self, path: str) -> bool | None:
        self._warn()
        return self._host_paths.holds_mounts(path)


class WaitingEngineState:
    """dockerd's files on a disk."""

    def __init__(self, engine_state: EngineState, warn: Warn) -> None:
        self._engine_state = engine_state
        self._warn = warn

    @property
    def is_seen(self) -> bool:
        return self._engine_state.is_seen

    def mount_points(self, reference: str) -> list[Any]:
        self._warn()
        return self._engine_state.mount_points(reference)

    def volume_options(self, name: str) -> list[Any]:
        self._warn()
        return self._engine_state.volume_options(name)
