"""Memory shared by the plugin's processes: the status of OPA and the policy, and a heartbeat.

The supervisor writes the status; the server process reads it for metrics and health, and writes a
heartbeat that the supervisor reads. The memory is mapped before the server process is forked.
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
    """The status, which one process updates and others read, and the time of the last heartbeat."""

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
        """Change some facts. Only the process that created the object may call this.

        Raises ``SetupError``, and changes nothing, if they do not fit into the memory.
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
        """A consistent copy of the facts: the read is repeated if an update overlaps it."""
        while True:
            head = _HEAD.unpack_from(self._page, 0)
            content = self._page[_FACTS_AT : _FACTS_AT + head[1]]
            if head[0] % 2 == 0 and _HEAD.unpack_from(self._page, 0) == head:
                facts: dict[str, Any] = orjson.loads(content)
                return facts

    def heartbeat(self) -> None:
        """Record the present time as that of the last heartbeat."""
        _BEAT.pack_into(self._page, _BEAT_AT, time.monotonic())

    def seconds_since_heartbeat(self) -> float:
        """Seconds since the last heartbeat."""
        return time.monotonic() - float(_BEAT.unpack_from(self._page, _BEAT_AT)[0])
