"""Open the policy that the plugin decides with which a daemon asks, where that can be known.

The plugin's metrics tell the revision of its policy. They are those of the plugin that the daemon
asks, if they count the denials of requests that are sent to the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from authz_plugin.errors import EndpointError, SetupError
from authz_plugin.journal.scrape import read_token
from authz_plugin.settings import Metrics, Settings
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange, find_endpoint
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.probes import ALWAYS_DENIED

_RULE: Final = "request.query"
"""The rule that denies ``ALWAYS_DENIED``."""

_REQUESTS: Final = 2
_LIMIT: Final = 1.0
"""Seconds for an answer with metrics, and until they count a denial."""


@contextmanager
def open_in_force(endpoint: Endpoint, settings: Settings) -> Iterator[Sandbox]:
    """Open a sandbox with the policy that the plugin has in force which an endpoint's daemon asks.

    ``settings`` are those that the plugin has if it was started without options. Raises
    ``SetupError`` if it cannot be known that it decides with them.
    """
    revision = _revision(_read(settings.metrics))
    with open_sandbox(settings) as sandbox:
        if sandbox.bundle.revision != revision:
            raise SetupError(
                f"the plugin decides with policy {revision}, and the settings here make "
                f"{sandbox.bundle.revision}"
            )
        _check_asked(endpoint, settings.metrics)
        yield sandbox


def _check_asked(endpoint: Endpoint, metrics: Metrics) -> None:
    """Raise ``SetupError`` if the plugin does not count what it must deny to an endpoint."""
    expected = _denials(_read(metrics)) + _REQUESTS
    for _ in range(_REQUESTS):
        exchange(endpoint, ALWAYS_DENIED)
    end = time.monotonic() + _LIMIT
    while _denials(_read(metrics)) < expected:
        if time.monotonic() > end:
            raise SetupError(
                f"the plugin with metrics at {metrics.listen} was not asked about a request to "
                f"{endpoint.url}"
            )
        time.sleep(0.05)


def _read(metrics: Metrics) -> Sequence[Sample]:
    """Return the plugin's metrics; raises ``SetupError``."""
    if metrics.listen == "off":
        raise SetupError("the plugin's settings here serve no metrics (metrics.listen: off)")
    if metrics.certificate is not None:
        raise SetupError(f"the plugin's metrics at {metrics.listen} need TLS")
    headers: tuple[tuple[str, str], ...] = ()
    if metrics.token_file is not None:
        headers = (("Authorization", f"Bearer {read_token(metrics.token_file).decode()}"),)
    try:
        reply = exchange(_endpoint(metrics.listen), Request("GET", "/metrics", headers), _LIMIT)
        return _samples(reply)
    except (EndpointError, ValueError):
        raise SetupError(f"no plugin serves metrics at {metrics.listen}") from None


def _endpoint(listen: str) -> Endpoint:
    scheme, _, path = listen.partition(":")
    if scheme == "unix":
        return Endpoint(listen, unix=Path(path))
    return find_endpoint(f"tcp://{listen}", None, {}, Path())


def _samples(reply: Reply) -> Sequence[Sample]:
    """Return the metrics in an answer; raises ``ValueError`` if there are none."""
    if reply.status != HTTPStatus.OK:
        raise ValueError(f"HTTP {reply.status}")
    families = text_string_to_metric_families(reply.body.decode())
    return [sample for family in families for sample in family.samples]


def _revision(samples: Sequence[Sample]) -> str:
    for sample in samples:
        if sample.name == "opa_authz_policy_info":
            return sample.labels["revision"]
    raise SetupError("the metrics tell no policy (opa_authz_policy_info)")


def _denials(samples: Sequence[Sample]) -> float:
    """Return the number of denials by the rule that denies ``ALWAYS_DENIED``."""
    return sum(
        sample.value
        for sample in samples
        if sample.name == "opa_authz_denials_total" and sample.labels["rule"] == _RULE
    )
