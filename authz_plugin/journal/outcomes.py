"""What became of allowed requests: dockerd's reports, matched with the decisions they belong to.

dockerd gives a request no id: when it is over, it sends the request again, with the outcome. Of
identical requests under way the newest is taken, so that a stream or a lost report does not put all
later ones out of step; and their outcomes say that they may be each other's. A report that no
decision is known for stays without one.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from authz_plugin.journal.record import DecisionRecord, Outcome, RequestKey, request_key
from authz_plugin.protocol import AuthZRes

_CREATORS: Final = {
    "container.create": "Id",
    "container.commit": "Id",
    "exec.create": "Id",
    "network.create": "Id",
    "volume.create": "Name",
    "service.create": "ID",
    "secret.create": "ID",
    "config.create": "ID",
}
"""Operations that make something, and the field of the answer that names it."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}")
_SUCCESS: Final = range(200, 300)
_FORGOTTEN_AFTER: Final = 3600.0


class Open:
    """The allowed requests that dockerd has not reported on yet.

    At most ``limit``, each for an hour at most where identical ones follow: what is forgotten is
    the oldest, and its report will find no decision.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._waiting: dict[RequestKey, deque[DecisionRecord]] = {}
        self._count = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def add(self, record: DecisionRecord) -> None:
        """Wait for the report on an allowed request."""
        if record.key is None:
            return
        with self._lock:
            if self._count >= self._limit:
                self._forget_oldest()
            same = self._waiting.setdefault(record.key, deque())
            while same and record.started - same[0].started > _FORGOTTEN_AFTER:
                same.popleft()
                self._count -= 1
            same.append(record)
            self._count += 1
            if len(same) > 1:
                same[-2].identical = record.identical = True

    def close(self, response: AuthZRes) -> Outcome:
        """The outcome that a report tells."""
        with self._lock:
            record = self._take(request_key(response.request))
        return Outcome(
            record=record,
            time=datetime.now(UTC),
            user=response.request.user,
            method=response.request.method,
            status=response.status or None,
            created=() if record is None else _created(record.operation, response),
            elapsed=None if record is None else time.perf_counter() - record.started,
        )

    def _take(self, key: RequestKey) -> DecisionRecord | None:
        same = self._waiting.get(key)
        if same is None:
            return None
        record = same.pop()
        self._count -= 1
        if not same:
            del self._waiting[key]
        return record

    def _forget_oldest(self) -> None:
        key, same = next(iter(self._waiting.items()))
        same.popleft()
        self._count -= 1
        if not same:
            del self._waiting[key]


def _created(operation: str, response: AuthZRes) -> tuple[str, ...]:
    name = _CREATORS.get(operation)
    if name is None or response.status not in _SUCCESS:
        return ()
    try:
        answer: Any = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return ()
    id_ = answer.get(name) if isinstance(answer, dict) else None
    return (id_,) if isinstance(id_, str) and _ID.fullmatch(id_) else ()
