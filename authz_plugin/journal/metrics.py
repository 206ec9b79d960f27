"""The Prometheus metrics.

The values of labels are operations, verdicts and the ids of the rules in the bundle. Any other rule
id is counted as ``other``, so that the number of time series is bounded.

One process with threads answers dockerd (``server``), so one registry contains all metrics. Values
from the supervisor are read from the shared status.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector

from authz_plugin import __version__
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.journal.record import DecisionRecord, Outcome
from authz_plugin.own_rules import PLUGIN_RULES

UNKNOWN: Final = "unknown"
OTHER: Final = "other"

EXPIRES_SOON: Final = timedelta(days=14)

REPEATED: Final = 10
"""The number of denials of one caller within a minute above which an event is logged."""

Figures = Callable[[], tuple[int, int, int]]
"""Hits, misses and entries of a cache."""

_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
_VERDICTS: Final = ("allow", "deny")
_STATUS: Final = {"allow": "200", "deny": "403"}
_CALLERS: Final = 1000
_DENIALS_KEPT: Final = 1000
_MINUTE: Final = 60.0

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counts decisions and outcomes, and renders everything for Prometheus.

    ``rules`` are the ids of the shipped rules; ``facts`` returns the shared status, ``figures`` the
    metrics of the journal itself; ``caches`` maps the name of each cache to a function that returns
    its hits, misses and entries.
    """

    def __init__(
        self,
        rules: Iterable[str],
        facts: Callable[[], Mapping[str, Any]],
        figures: Callable[[], Iterable[Metric]],
        caches: Mapping[str, Figures],
    ) -> None:
        self._facts = facts
        self._cache_figures = caches
        self._registry = CollectorRegistry()
        self.callers = Callers()
        self._requests_family = requests = Counter(
            "opa_authz_requests",
            "Requests decided.",
            ("operation", "verdict"),
            registry=self._registry,
        )
        self._requests = {
            (operation, verdict): requests.labels(operation or UNKNOWN, verdict)
            for operation in (*OPERATIONS, "")
            for verdict in _VERDICTS
        }
        self._denials = _ByRule(
            "opa_authz_denials", "Denials, by rule.", rules, self._registry, facts
        )
        self._warnings = _ByRule(
            "opa_authz_warnings",
            "Denials that rules in warn mode would have made.",
            rules,
            self._registry,
            facts,
        )
        privileged = Counter(
            "opa_authz_privileged_requests",
            "Requests for a privileged container or exec.",
            ("verdict",),
            registry=self._registry,
        )
        self._privileged = {verdict: privileged.labels(verdict) for verdict in _VERDICTS}
        outcomes = Counter(
            "opa_authz_outcomes",
            "Reports of dockerd on requests that ran, by class of status.",
            ("status",),
            registry=self._registry,
        )
        classes = ("1xx", "2xx", "3xx", "4xx", "5xx", UNKNOWN)
        self._outcomes = {name: outcomes.labels(name) for name in classes}
        self._unmatched = Counter(
            "opa_authz_outcomes_without_decision",
            "Reports of dockerd on requests for which no decision is known.",
            registry=self._registry,
        )
        self._engine_errors = Counter(
            "opa_authz_engine_errors",
            "Requests on which the engine gave no decision.",
            registry=self._registry,
        )
        duration = self._histogram(
            "opa_authz_phase_duration_seconds", "Time to answer dockerd.", "phase"
        )
        self._request_time = duration.labels("request")
        self._response_time = duration.labels("response")
        steps = self._histogram(
            "opa_authz_step_duration_seconds", "Time in the steps of a decision.", "step"
        )
        self._read_time, self._document_time = steps.labels("read"), steps.labels("document")
        self._engine_time = Histogram(
            "opa_authz_engine_duration_seconds",
            "Time that the engine takes to decide.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        for collect in (
            self._aliases,
            self._from_shared_status,
            self._caches,
            self._others,
            figures,
        ):
            self._registry.register(_Collected(collect))
        ProcessCollector(registry=self._registry)

    def decided(self, record: DecisionRecord) -> None:
        """Count a decision."""
        self._requests[record.operation, record.verdict].inc()
        self._request_time.observe(record.times.total)
        if record.times.read:
            self._read_time.observe(record.times.read)
        if record.engine:
            self._document_time.observe(record.times.document)
            self._engine_time.observe(record.times.engine)
            if not record.by_policy and record.error:
                self._engine_errors.inc()
        if record.privileged:
            self._privileged[record.verdict].inc()
        for rule in {denial.rule for denial in record.denials}:
            self._denials.count(rule, by_policy=record.by_policy)
        for rule in {denial.rule for denial in record.warnings}:
            self._warnings.count(rule, by_policy=True)

    def answered(self, seconds: float) -> None:
        """Observe the time that the answer to a report of an outcome took."""
        self._response_time.observe(seconds)

    def finished(self, outcome: Outcome) -> None:
        """Count an outcome."""
        if outcome.record is None:
            self._unmatched.inc()
        name = UNKNOWN if outcome.status is None else f"{outcome.status // 100}xx"
        self._outcomes.get(name, self._outcomes[UNKNOWN]).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics in a format that the header ``Accept`` allows, and its Content-Type."""
        encode, content_type = prometheus_client.exposition.choose_encoder(accept)
        return encode(self._registry), content_type

    def _histogram(self, name: str, text: str, label: str) -> Histogram:
        return Histogram(name, text, (label,), buckets=_BUCKETS, registry=self._registry)

    def _aliases(self) -> Iterator[Metric]:
        """The same counters under the names that socket proxies use; without zeros."""
        requests = CounterMetricFamily(
            "docker_proxy_requests",
            "Alias of opa_authz_requests: status is 403 for a denial, else 200.",
            labels=("operation", "status"),
        )
        blocked: dict[str, float] = {}
        for sample in (s for family in self._requests_family.collect() for s in family.samples):
            operation, verdict = sample.labels["operation"], sample.labels["verdict"]
            if not sample.value:
                continue
            requests.add_metric((operation, _STATUS[verdict]), sample.value)
            if verdict == "deny":
                kind = operation.partition(".")[0]
                blocked[kind] = blocked.get(kind, 0) + sample.value
        yield requests
        yield _counters(
            "docker_proxy_blocked_operations",
            "Denials by the first part of the operation.",
            "type",
            blocked,
        )

    def _from_shared_status(self) -> Iterator[Metric]:
        facts = self._facts()
        yield _gauge("opa_authz_engine_up", "Whether OPA answers.", facts["engine_up"])
        yield _counter(
            "opa_authz_engine_restarts", "Starts of OPA after it ended.", facts["engine_restarts"]
        )
        policy = GaugeMetricFamily(
            "opa_authz_policy_info", "The policy in force.", labels=("profile", "revision")
        )
        policy.add_metric((facts["profile"], facts["revision"]), 1)
        yield policy
        yield _gauge(
            "opa_authz_policy_loaded_timestamp_seconds",
            "When the policy in force was loaded.",
            facts["loaded_at"],
        )
        yield _counters(
            "opa_authz_policy_reloads", "Reloads of the policy.", "result", facts["reloads"]
        )
        yield _gauge(
            "opa_authz_policy_reload_successful",
            "Whether the last reload was taken over.",
            facts["reload_successful"],
        )
        build = GaugeMetricFamily(
            "opa_authz_build_info", "What runs.", labels=("version", "engine")
        )
        build.add_metric((__version__, facts["engine"]), 1)
        yield build
        yield from _exceptions(facts["exceptions"])
        if "fleet" in facts:
            yield from _fleet(facts["fleet"])

    def _caches(self) -> Iterator[Metric]:
        hits = CounterMetricFamily("opa_authz_cache_hits", "Found.", labels=("cache",))
        misses = CounterMetricFamily("opa_authz_cache_misses", "Not found.", labels=("cache",))
        entries = GaugeMetricFamily("opa_authz_cache_entries", "Entries.", labels=("cache",))
        for name, figures in self._cache_figures.items():
            found, missed, kept = figures()
            hits.add_metric((name,), found)
            misses.add_metric((name,), missed)
            entries.add_metric((name,), kept)
        yield from (hits, misses, entries)

    def _others(self) -> Iterator[Metric]:
        yield _gauge(
            "opa_authz_denials_of_one_caller_last_minute",
            "Denials within the last minute of the caller that had the most.",
            self.callers.most(),
        )


class Callers:
    """Counts the denials of each of at most ``_CALLERS`` callers within the last minute."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def denied(self, caller: str) -> int:
        """Count a denial; return the number of denials of this caller within the last minute."""
        now = time.monotonic()
        with self._lock:
            times = self._times.pop(caller, None) or deque(maxlen=_DENIALS_KEPT)
            self._times[caller] = times
            times.append(now)
            if len(self._times) > _CALLERS:
                self._times.popitem(last=False)
            return _recent(times, now)

    def most(self) -> int:
        """The greatest number of denials of one caller within the last minute."""
        now = time.monotonic()
        with self._lock:
            return max((_recent(times, now) for times in self._times.values()), default=0)


class _ByRule:
    """A counter by rule id. Ids that are not in the policy are counted under ``OTHER``."""

    def __init__(
        self,
        name: str,
        text: str,
        rules: Iterable[str],
        registry: CollectorRegistry,
        facts: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._family = Counter(name, text, ("rule",), registry=registry)
        self._facts = facts
        known = {*rules, *PLUGIN_RULES, OTHER}
        self._known = {rule: self._family.labels(rule) for rule in sorted(known)}

    def count(self, rule: str, *, by_policy: bool) -> None:
        """Count a denial; if not ``by_policy``, the rule is one of the plugin itself."""
        counter = self._known.get(rule)
        if counter is None:
            is_named = not by_policy or rule in self._facts()["custom_rules"]
            counter = self._family.labels(rule) if is_named else self._known[OTHER]
            if is_named:
                self._known[rule] = counter
        counter.inc()


class _Collected:
    """A Prometheus collector that calls a function."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self.collect = collect

    def describe(self) -> Iterable[Metric]:
        """No names to check for duplicates: all are defined in this module and the journal."""
        return ()


def _recent(times: deque[float], now: float) -> int:
    while times and times[0] < now - _MINUTE:
        times.popleft()
    return len(times)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _exceptions(ends: Iterable[float]) -> Iterator[Metric]:
    """``ends`` are the times at which exceptions of the policy end, in seconds since 1970."""
    now = datetime.now(UTC).timestamp()
    counts = {"active": 0, "expiring": 0, "expired": 0}
    coming = []
    for end in ends:
        left = end - now
        state = "active" if left > EXPIRES_SOON.total_seconds() else "expiring"
        counts[state if left > 0 else "expired"] += 1
        coming += [end] if left > 0 else []
    family = GaugeMetricFamily(
        "opa_authz_exceptions",
        "Exceptions of the policy; expiring within 14 days.",
        labels=("state",),
    )
    for state, count in counts.items():
        family.add_metric((state,), count)
    yield family
    if coming:
        yield _gauge(
            "opa_authz_exception_next_expiry_timestamp_seconds",
            "When the next exception ends.",
            min(coming),
        )


def _fleet(facts: Mapping[str, Any]) -> Iterator[Metric]:
    """``facts`` are those of the supervisor about the service that has the policy."""
    bundle = GaugeMetricFamily(
        "opa_authz_fleet_bundle_info", "The bundle in force.", labels=("revision",)
    )
    bundle.add_metric((facts["revision"] or "none",), 1)
    yield bundle
    yield _gauge("opa_authz_fleet_up", "Whether the last poll succeeded.", facts["up"])
    yield _gauge(
        "opa_authz_fleet_last_success_timestamp_seconds",
        "When a poll succeeded last; 0 if none did since the start.",
        facts["asked"],
    )
    yield _gauge(
        "opa_authz_fleet_bundle_built_timestamp_seconds",
        "When the bundle in force was built; 0 if there is none.",
        facts["built"],
    )
    yield _counter(
        "opa_authz_fleet_bundles_refused", "Verified bundles that were refused.", facts["refused"]
    )
    yield _gauge(
        "opa_authz_fleet_bundle_refused",
        "Whether the newest bundle is refused.",
        facts["refused_now"],
    )
    yield _gauge(
        "opa_authz_fleet_policy_kept",
        "Whether the policy in force is kept on the disk.",
        facts["kept"],
    )
