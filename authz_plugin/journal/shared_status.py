"""A page of memory that the plugin's processes share: what the one knows and the other shows.

The supervisor posts what it knows of OPA and the policy; the server, which answers for metrics and
health, reads it, and beats to show that it lives. The page is made before the processes part.
"""

from __future__ import annotations

import mmap
import struct
import time
from typing import Any, Final

import orjson

from authz_plugin.errors import SetupError

_SIZE: Final = 1 << 18
_HEAD: Final = struct.Struct("<QQ")
_BEAT: Final = struct.Struct("<d")
_BEAT_AT: Final = _HEAD.size
_FACTS_AT: Final = _HEAD.size + _BEAT.size


class SharedStatus:
    """One process posts facts, others read them; one beats, others see when it did last."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _SIZE)
        self._facts: dict[str, Any] = {}
        self._version = 0
        self.heartbeat()
        self.update(
            engine="",
            engine_up=False,
            engine_restarts=0,
            profile="unknown",
            revision="unknown",
            loaded_at=0.0,
            reloads={"taken_over": 0, "refused": 0},
            reload_successful=True,
            custom_rules=[],
            exceptions=[],
        )

    def update(self, **facts: Any) -> None:
        """Change facts; others stay. Only the process that made the shared_status may.

        Raises ``SetupError`` if they are too many, and changes nothing.
        """
        changed = self._facts | facts
        content = orjson.dumps(changed)
        if len(content) > _SIZE - _FACTS_AT:
            raise SetupError("the policy has too many exceptions or custom rules to show")
        self._facts = changed
        self._version += 2
        _HEAD.pack_into(self._page, 0, self._version - 1, len(content))
        self._page[_FACTS_AT : _FACTS_AT + len(content)] = content
        _HEAD.pack_into(self._page, 0, self._version, len(content))

    def read(self) -> dict[str, Any]:
        """The facts, as they were at one moment."""
        while True:
            head = _HEAD.unpack_from(self._page, 0)
            content = self._page[_FACTS_AT : _FACTS_AT + head[1]]
            if head[0] % 2 == 0 and _HEAD.unpack_from(self._page, 0) == head:
                facts: dict[str, Any] = orjson.loads(content)
                return facts

    def heartbeat(self) -> None:
        """Show a sign of life."""
        _BEAT.pack_into(self._page, _BEAT_AT, time.monotonic())

    def seconds_since_heartbeat(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - float(_BEAT.unpack_from(self._page, _BEAT_AT)[0])
