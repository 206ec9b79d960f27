"""The policy of the settings, opened once for all pages, and again when it has changed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from authz_plugin.settings import Settings
from authz_plugin.tools.explanation.reasons import Explainer
from authz_plugin.tools.sandbox import Sandbox, open_sandbox

_RULES: Final = "*.rego"


@dataclass(slots=True)
class _Opened:
    """An open policy, for the settings and the state of their own rules that ``key`` holds."""

    key: object
    sandbox: Sandbox
    explainer: Explainer
    cleanup: contextlib.ExitStack
    users: int = 0
    is_old: bool = False


@dataclass(slots=True)
class Policies:
    """Opens policies, for several threads at the same time.

    A policy is closed when it has changed and nobody uses it any more.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _current: _Opened | None = None

    @contextlib.contextmanager
    def of(self, settings: Settings) -> Iterator[tuple[Sandbox, Explainer]]:
        """Open the policy of settings, or use the open one if it is the same.

        Raises ``SetupError`` if the plugin would not start with these settings.
        """
        with self._lock:
            opened = self._open(settings)
            opened.users += 1
        try:
            yield opened.sandbox, opened.explainer
        finally:
            with self._lock:
                opened.users -= 1
                _close_unused(opened)

    def close(self) -> None:
        """Close the policy; those that use it can go on."""
        with self._lock:
            self._retire()

    def _open(self, settings: Settings) -> _Opened:
        key = settings, _state(settings.policies)
        if self._current is not None and self._current.key == key:
            return self._current
        with contextlib.ExitStack() as cleanup:
            sandbox = cleanup.enter_context(open_sandbox(settings))
            made = _Opened(key, sandbox, Explainer(sandbox), cleanup.pop_all())
        self._retire()
        self._current = made
        return made

    def _retire(self) -> None:
        if self._current is not None:
            self._current.is_old = True
            _close_unused(self._current)
            self._current = None


def _close_unused(opened: _Opened) -> None:
    if opened.is_old and opened.users == 0:
        opened.cleanup.close()


def _state(folder: Path | None) -> list[tuple[str, int, int]]:
    """What tells whether a file of the operator's own rules has changed."""
    if folder is None:
        return []
    found = []
    for file in sorted(folder.rglob(_RULES)):
        with contextlib.suppress(FileNotFoundError):
            state = file.stat()
            found.append((str(file), state.st_mtime_ns, state.st_size))
    return found
