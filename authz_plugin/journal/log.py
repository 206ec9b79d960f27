"""Decision records as JSON lines on standard error, where journald and container logs find them."""

from __future__ import annotations

import logging
from typing import Final

import orjson

from authz_plugin.journal.record import DecisionRecord

_LOGGER: Final = logging.getLogger("authz_plugin.decisions")


def write(record: DecisionRecord) -> None:
    """Log a record: denials and warnings as they come, allowed requests at level debug."""
    level = logging.INFO
    if record.error:
        level = logging.ERROR
    elif record.verdict == "allow" and not record.warnings:
        level = logging.DEBUG
    if _LOGGER.isEnabledFor(level):
        _LOGGER.log(level, "%s", orjson.dumps(record.to_document()).decode())
