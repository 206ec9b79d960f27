"""The journal: what the authorizer hands its decisions to, and what tells how all of it fares.

Counting happens at once; log and audit file are written behind queues, each by a thread of its own,
so that neither a slow terminal nor a slow disk delays an answer, or the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from authz_plugin.decision import Denial
from authz_plugin.journal import log
from authz_plugin.journal.audit import AuditFile, Entry
from authz_plugin.journal.metrics import REPEATED, Figures, Metrics
from authz_plugin.journal.outcomes import Open
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.journal.recording import RecordedDecision, recorded
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.journal.writer import Writer
from authz_plugin.protocol import AuthZRes
from authz_plugin.settings import Audit, Log

_STUCK: Final = 10.0
_BEAT: Final = 1.0
_INPUTS: Final = 1000
"""Entries that may wait for the audit file with their inputs; those of more are left out."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the plugin fares: what is wrong, and whether requests are denied because of it."""

    faults: Mapping[str, str]
    is_ready: bool


class Journal:
    """Records decisions and their outcomes.

    One of these lives in the process that answers dockerd. ``rules`` are the ids of the shipped
    rules, ``caches`` the caches of that process; ``shared_status`` brings
    what the supervisor knows.
    """

    def __init__(
        self,
        log_: Log,
        audit: Audit,
        shared_status: SharedStatus,
        rules: Iterable[str],
        caches: Mapping[str, Figures],
    ) -> None:
        self._shared_status = shared_status
        self._denies_unrecorded = audit.on_failure == "deny"
        self._with_inputs = audit.inputs
        self._filter = log.Filter(log_)
        self._lines = log.Lines(log.renderer(log_))
        self._log: Writer[log.Event] = Writer("log", self._lines.write, log_.queue)
        self._audit: Writer[Entry] | None = None
        if audit.file is not None:
            self._file = AuditFile(audit.file, audit, self._log.put)
            self._audit = Writer("audit", self._file.write, audit.queue)
        self._open = Open()
        self.metrics = Metrics(rules, shared_status.read, self._figures, caches)
        self._stopped = threading.Event()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    @property
    def put(self) -> Any:
        """Have an event logged that is no decision."""
        return self._log.put

    def record(self, record: DecisionRecord) -> None:
        """Record a decision. Costs its request a few microseconds, whatever the disk does; with its
        input some ten."""
        document = record.take_document()
        self.metrics.decided(record)
        if record.verdict == "allow":
            self._open.add(record)
        else:
            self._watch(record)
        if self._audit is not None:
            entry: Entry = record
            if self._with_inputs and document is not None:
                room = len(self._audit) < _INPUTS
                entry = RecordedDecision(record, recorded(document) if room else None)
            self._audit.put(entry)
        if self._filter.wants(record):
            self._log.put(record)

    def close(self, response: AuthZRes) -> None:
        """Record what dockerd reports of a request that ran."""
        outcome = self._open.close(response)
        self.metrics.finished(outcome)
        if self._audit is not None:
            self._audit.put(outcome)
        if outcome.record is None or self._filter.wants(outcome.record):
            self._log.put(outcome)

    def audit_block(self) -> Denial | None:
        """Why a request must be denied because it cannot be recorded, if that is so."""
        if not self._denies_unrecorded or self._audit is None:
            return None
        if not self._file.failure and not self._audit.is_full:
            return None
        return _UNRECORDED

    def health(self) -> Health:
        """What is wrong at this moment."""
        faults = {}
        if not self._shared_status.read()["engine_up"]:
            faults["engine"] = "OPA does not answer"
        if self._log.is_stuck(_STUCK):
            faults["log"] = "standard error takes nothing"
        if self._audit is not None:
            if self._file.failure:
                faults["audit"] = self._file.failure
            elif self._audit.is_stuck(_STUCK):
                faults["audit"] = "the disk takes nothing"
        return Health(faults, "engine" not in faults and self.audit_block() is None)

    def stop(self) -> None:
        """Write what is waiting, and end."""
        if self._audit is not None:
            self._audit.stop()
            self._file.close()
        self._stopped.set()
        self._log.stop()

    def _watch(self, record: DecisionRecord) -> None:
        """Tell, once, of a caller that has more denials within a minute than mistakes explain."""
        caller = record.certificate or record.user
        if self.metrics.callers.denied(caller) == REPEATED + 1:
            details = f"more than {REPEATED} denials within a minute for one caller"
            fields = {"user": record.user, "certificate": record.certificate}
            event = log.notice("repeated_denials", details, "warning", **fields)
            self._log.put({**event, "decision_id": record.decision_id})

    def _beat(self) -> None:
        while not self._stopped.wait(_BEAT):
            self._shared_status.heartbeat()

    def _figures(self) -> Iterator[Metric]:
        queues: dict[str, Writer[Any]] = {"log": self._log}
        queues |= {} if self._audit is None else {"audit": self._audit}
        waiting = GaugeMetricFamily(
            "opa_authz_journal_queue_length", "Entries that wait.", labels=("sink",)
        )
        written = CounterMetricFamily(
            "opa_authz_journal_written", "Entries written.", labels=("sink",)
        )
        dropped = CounterMetricFamily(
            "opa_authz_journal_dropped", "Entries lost.", labels=("sink",)
        )
        for name, queue in queues.items():
            lost = self._lines.lost if name == "log" else 0
            waiting.add_metric((name,), len(queue))
            written.add_metric((name,), queue.written - lost)
            dropped.add_metric((name,), queue.dropped + lost)
        yield from (waiting, written, dropped)
        yield GaugeMetricFamily(
            "opa_authz_open_requests", "Allowed requests not reported yet.", value=len(self._open)
        )
        if self._audit is not None:
            yield GaugeMetricFamily(
                "opa_authz_audit_up",
                "Whether the audit file is written.",
                value=float(not self._file.failure),
            )
            yield CounterMetricFamily(
                "opa_authz_audit_failures", "Failed writes.", value=self._file.failures
            )
            yield GaugeMetricFamily(
                "opa_authz_audit_line", "Number of the last line.", value=self._file.end.seq
            )
            yield GaugeMetricFamily(
                "opa_authz_audit_size_bytes", "Size of the audit file.", value=self._file.size
            )


_UNRECORDED: Final = Denial(
    "request.audit",
    "",
    None,
    "this cannot be recorded, and what cannot be recorded is not allowed here",
    "tell the operator of this host: the audit file cannot be written (audit.on_failure)",
)
