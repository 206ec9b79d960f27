"""The log: events as lines on standard error, for journald, container logs and terminals.

JSON lines have the fields defined in ``record``; the text form is for terminals. Messages of
Python's logging (gunicorn, Flask) are written in the same form, without the messages of exceptions,
which may quote a request.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from authz_plugin.decision import visible
from authz_plugin.journal.record import SOURCE, DecisionRecord, Outcome

Event = DecisionRecord | Outcome | Mapping[str, Any]
"""The content of a line: a decision, an outcome, or another event as a document."""

Render = Callable[[Mapping[str, Any]], bytes]

_LEVELS: Final = {"error": 40, "warning": 30, "info": 20, "debug": 10}
_NAMES: Final = {level: name for name, level in _LEVELS.items()}
_STANDARD_ERROR: Final = 2
_COLUMNS: Final = {"allowed_operation": "allow", "blocked_operation": "DENY"}


class LogOptions(NamedTuple):
    """What is logged and how.

    ``level`` is debug, info, warning or error; ``format`` is auto, json or text; ``reads`` is the
    share of the allowed reads that level info logs, from 0 to 1; ``queue`` is the maximum number of
    waiting events.
    """

    level: str = "info"
    format: str = "auto"
    reads: float = 0.0
    queue: int = 10_000


class Filter:
    """Selects the decisions that are logged, by the level and a share of the allowed reads."""

    def __init__(self, log: LogOptions) -> None:
        self._level = _LEVELS[log.level]
        self._reads = int(log.reads * (1 << 32))

    def wants(self, record: DecisionRecord) -> bool:
        """Whether a decision, and with it its outcome, is logged."""
        if record.error:
            return True
        if record.denials or record.warnings:
            return self._level <= _LEVELS["warning"]
        if self._level <= _LEVELS["debug"]:
            return True
        if self._level > _LEVELS["info"]:
            return False
        return record.access != "read" or int(record.decision_id[:8], 16) < self._reads


def notice(event: str, details: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    """The document of an event that is not a decision or outcome."""
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "source": SOURCE,
        "event": event,
        "level": level,
        "details": details,
        **fields,
    }


def as_json(document: Mapping[str, Any]) -> bytes:
    """The line of an event in JSON."""
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def as_text(document: Mapping[str, Any]) -> bytes:
    """The line of an event in the text form."""
    time = str(document["timestamp"])[11:19]
    event = document["event"]
    if event in _COLUMNS:
        words = [time, f"{_COLUMNS[event]:<5}", document["operation"] or "-"]
        words += [document["resource"]] if document["resource"] else []
        words += [f"by {document['user']}"] if document["user"] else []
        warned = "" if document["rules"] or not document["warnings"] else "warning: "
        words += [f"[{warned}{', '.join(document['rules'] or document['warnings'])}]"]
        words += [document["details"], document["error"]]
        words += [f"(decision {document['decision_id']}, {document['duration_ms']} ms)"]
    elif event == "finished_operation":
        status = "unknown" if document["status"] is None else str(document["status"])
        words = [time, "done ", document["operation"] or "-", f"status {status}"]
        words += [*document["created"], f"(decision {document['decision_id'] or 'unknown'})"]
    else:
        words = [
            time,
            document["level"] if document["level"] != "info" else "",
            document["details"],
        ]
    text = " ".join(word for word in words if word and word != "[]")
    return visible(text).encode() + b"\n"


def renderer(format_: str) -> Render:
    """The function for a format: json, text, or auto, which is text if standard error is a
    terminal, else json."""
    is_text = format_ == "text" or (format_ == "auto" and os.isatty(_STANDARD_ERROR))
    return as_text if is_text else as_json


class Lines:
    """Writes events to standard error."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self.lost = 0

    def write(self, events: list[Event]) -> bool:
        """Write a batch and return True; a batch that cannot be written is counted in ``lost``."""
        text = memoryview(b"".join(self._render(_document(event)) for event in events))
        try:
            while text:
                text = text[os.write(_STANDARD_ERROR, text) :]
        except OSError:
            self.lost += len(events)
        return True


class Handler(logging.Handler):
    """Passes the records of Python's logging to ``put`` as events."""

    def __init__(self, put: Callable[[Event], Any]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        level = _NAMES.get(record.levelno, "error")
        details = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            details = f"{record.exc_info[0].__name__} in {record.name}"
        self._put(notice("message", details, level, logger=record.name))


def route_logging(put: Callable[[Event], Any], level: str) -> None:
    """Replace the handlers of Python's root logger: records of at least ``level`` become events."""
    root = logging.getLogger()
    root.handlers = [Handler(put)]
    root.setLevel(level.upper())


def _document(event: Event) -> Mapping[str, Any]:
    return event if isinstance(event, Mapping) else event.to_document()
