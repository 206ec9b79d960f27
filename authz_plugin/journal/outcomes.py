"""The outcomes of allowed requests: matches dockerd's reports with decisions.

dockerd gives a request no id: when the request has ended, dockerd sends it again together with the
outcome. If several identical requests are pending, a report is matched with the newest, so that a
stream or a lost report affects one match and not all later ones. The outcomes of such requests are
marked as ``identical``, because the decision may be that on another of them. A report that matches
no pending request has no decision.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
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
"""Operations that create an object, and the field of the answer that holds its id."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}")
_SUCCESS: Final = range(200, 300)
_FORGOTTEN_AFTER: Final = 3600.0


@dataclass(slots=True)
class _Pending:
    """An allowed request; ``is_identical`` is true once the same request is pending twice."""

    record: DecisionRecord
    is_identical: bool = False


class PendingRequests:
    """The allowed requests whose outcome dockerd has not reported yet.

    Contains at most ``limit`` requests; beyond that, an old one is removed for each new one. A
    request older than an hour is removed when the same request is added. The report on a removed
    request matches no decision.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._pending: dict[RequestKey, list[_Pending]] = {}  # a deque takes 600 bytes
        self._count = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def add(self, record: DecisionRecord) -> None:
        """Add an allowed request."""
        if record.key is None:
            return
        with self._lock:
            if self._count >= self._limit:
                self._remove_oldest()
            same = self._pending.setdefault(record.key, [])
            while same and record.started - same[0].record.started > _FORGOTTEN_AFTER:
                same.pop(0)
                self._count -= 1
            if same:
                same[-1].is_identical = True
            same.append(_Pending(record, is_identical=bool(same)))
            self._count += 1

    def finish(self, response: AuthZRes) -> Outcome:
        """Remove the request that a report is about, and return the outcome of that request."""
        with self._lock:
            pending = self._take(request_key(response.request))
        record = None if pending is None else pending.record
        return Outcome(
            record=record,
            time=datetime.now(UTC),
            user=response.request.user,
            method=response.request.method,
            status=response.status or None,
            created=() if record is None else _created(record.operation, response),
            elapsed=None if record is None else time.perf_counter() - record.started,
            identical=pending is not None and pending.is_identical,
        )

    def _take(self, key: RequestKey) -> _Pending | None:
        same = self._pending.get(key)
        if same is None:
            return None
        pending = same.pop()
        self._count -= 1
        if not same:
            del self._pending[key]
        return pending

    def _remove_oldest(self) -> None:
        key, same = next(iter(self._pending.items()))
        same.pop(0)
        self._count -= 1
        if not same:
            del self._pending[key]


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
