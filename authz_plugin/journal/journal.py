"""The journal: records decisions and outcomes in metrics, log and audit file, and reports health.

The thread of the request updates the metrics. Log, audit file and spool each have a queue and a
thread that writes it, so that a slow terminal or a slow disk delays neither an answer nor the other
files.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from authz_plugin.decision import Denial
from authz_plugin.journal import log
from authz_plugin.journal.audit import AuditFile, AuditOptions, Entry
from authz_plugin.journal.metrics import REPEATED, Figures, Metrics
from authz_plugin.journal.outcomes import PendingRequests
from authz_plugin.journal.record import DecisionRecord, Outcome
from authz_plugin.journal.recording import RecordedDecision, recorded
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.journal.spool import Spool, SpoolOptions
from authz_plugin.journal.writer import Writer
from authz_plugin.protocol import AuthZRes

_STUCK: Final = 10.0
_HEARTBEAT_EVERY: Final = 1.0
_INPUTS: Final = 1000
"""The number of waiting audit entries above which decisions are written without their inputs."""
_REQUESTS_UNDER_WAY: Final = 512
"""The requests that the server decides at the same time, at most: ``server.threads`` is at most
256, and the exchange and gunicorn each have so many threads. The audit queue accepts so many
entries beyond its limit, because these requests may have called ``audit_block`` before the queue
was full."""


class Health(NamedTuple):
    """The health of the plugin.

    ``faults`` maps a part (``engine``, ``log``, ``audit``) to a description of its fault;
    ``is_ready`` is false if a fault causes requests to be denied.
    """

    faults: Mapping[str, str]
    is_ready: bool


class Journal:
    """Records decisions and their outcomes.

    There is one in the process that answers dockerd. ``audit`` is None if there is no audit file,
    ``rules`` are the ids of the shipped rules, ``caches`` maps the name of each cache to a function
    that returns its figures, and ``shared_status`` contains the status that the supervisor writes.
    ``spool`` is None if no service of a fleet collects the decisions.
    """

    def __init__(
        self,
        log_: log.LogOptions,
        audit: AuditOptions | None,
        shared_status: SharedStatus,
        rules: Iterable[str],
        caches: Mapping[str, Figures],
        *,
        spool: SpoolOptions | None = None,
    ) -> None:
        self._shared_status = shared_status
        self._denies_unrecorded = audit is not None and audit.deny_on_failure
        self._with_inputs = audit is not None and audit.inputs
        self._filter = log.Filter(log_)
        self._lines = log.Lines(log.renderer(log_.format))
        self._log: Writer[log.Event] = Writer("log", self._lines.write, log_.queue)
        self._audit: Writer[Entry] | None = None
        if audit is not None:
            self._file = AuditFile(audit, self._log.put)
            self._audit = Writer("audit", self._file.write, audit.queue)
        self._uploads: Writer[DecisionRecord | Outcome] | None = None
        if spool is not None:
            self._spool = Spool(spool, self._log.put)
            self._uploads = Writer("spool", self._spool.write, spool.queue)
        self._pending = PendingRequests()
        self.metrics = Metrics(rules, shared_status.read, self._figures, caches)
        self._stopped = threading.Event()
        threading.Thread(target=self._send_heartbeats, name="heartbeat", daemon=True).start()

    def log_event(self, event: log.Event) -> None:
        """Log an event that is not a decision."""
        self._log.put(event)

    def record(self, record: DecisionRecord, document: Mapping[str, Any] | None = None) -> None:
        """Record a decision, and the input document that the policies decided on, if there is one.

        Never blocks on a disk or a terminal.
        """
        self.metrics.decided(record)
        if record.verdict == "allow":
            self._pending.add(record)
        else:
            self._watch(record)
        if self._audit is not None:
            entry: Entry = record
            if self._with_inputs and document is not None:
                room = len(self._audit) < _INPUTS
                entry = RecordedDecision(record, recorded(document) if room else None)
            reserve = _REQUESTS_UNDER_WAY if record.verdict == "allow" else 0
            self._audit.put(entry, reserve)
        if self._uploads is not None:
            self._uploads.put(record)
        if self._filter.wants(record):
            self._log.put(record)

    def finish(self, response: AuthZRes) -> None:
        """Record the outcome of a request, from dockerd's report."""
        outcome = self._pending.finish(response)
        self.metrics.finished(outcome)
        if self._audit is not None:
            self._audit.put(outcome)
        if self._uploads is not None:
            self._uploads.put(outcome)
        if outcome.record is None or self._filter.wants(outcome.record):
            self._log.put(outcome)

    def audit_block(self) -> Denial | None:
        """With ``audit.on_failure: deny``, the denial of all requests while the audit file cannot
        be written or its queue is full; else None.

        The queue keeps room for requests that called this before it was full.
        """
        if not self._denies_unrecorded or self._audit is None:
            return None
        if not self._file.failure and not self._audit.is_full:
            return None
        return _UNRECORDED

    def health(self) -> Health:
        """The present health."""
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
        """Write the waiting entries, end the threads and close the audit file."""
        if self._audit is not None:
            self._audit.stop()
            self._file.close()
        if self._uploads is not None:
            self._uploads.stop()
            self._spool.close()
        self._stopped.set()
        self._log.stop()

    def _watch(self, record: DecisionRecord) -> None:
        """Log an event when a caller exceeds ``REPEATED`` denials within a minute."""
        caller = record.certificate or record.user
        if self.metrics.callers.denied(caller) == REPEATED + 1:
            details = f"more than {REPEATED} denials within a minute for one caller"
            fields = {"user": record.user, "certificate": record.certificate}
            event = log.notice("repeated_denials", details, "warning", **fields)
            self._log.put({**event, "decision_id": record.decision_id})

    def _send_heartbeats(self) -> None:
        while not self._stopped.wait(_HEARTBEAT_EVERY):
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
            "opa_authz_open_requests",
            "Allowed requests not reported yet.",
            value=len(self._pending),
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
        if self._uploads is not None:
            yield from self._upload_figures(self._uploads)

    def _upload_figures(self, uploads: Writer[DecisionRecord | Outcome]) -> Iterator[Metric]:
        facts = self._shared_status.read()["fleet"]
        yield GaugeMetricFamily(
            "opa_authz_fleet_uploads_up",
            "Whether the last upload of decisions succeeded.",
            value=float(facts["uploads_up"]),
        )
        yield GaugeMetricFamily(
            "opa_authz_fleet_decisions_waiting",
            "Decisions and outcomes not known to be uploaded.",
            value=len(uploads) + max(0, self._spool.last - facts["last_uploaded"]),
        )
        yield CounterMetricFamily(
            "opa_authz_fleet_decisions_uploaded",
            "Decisions and outcomes uploaded.",
            value=facts["uploaded"],
        )
        yield CounterMetricFamily(
            "opa_authz_fleet_decisions_lost",
            "Decisions and outcomes lost.",
            value=uploads.dropped + self._spool.lost + facts["unreadable"],
        )


_UNRECORDED: Final = Denial(
    "request.audit",
    "",
    None,
    "this cannot be recorded, and what cannot be recorded is not allowed here",
    "tell the operator of this host: the audit file cannot be written (audit.on_failure)",
)
