"""Open the policy that the plugin decides with which a daemon asks, where that can be known.

The plugin's metrics tell the revision of its policy. They are those of the plugin that the daemon
asks, if they count the denials of requests that are sent to the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from prometheus_client.samples import Sample

from authz_plugin.errors import SetupError
from authz_plugin.settings import Metrics, Settings
from authz_plugin.tools.docker_client import Endpoint, exchange
from authz_plugin.tools.plugin_metrics import read_metrics
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.probes import ALWAYS_DENIED

_RULE: Final = "request.query"
"""The rule that denies ``ALWAYS_DENIED``."""

_REQUESTS: Final = 2
_LIMIT: Final = 1.0
"""Seconds until the metrics count a denial."""


@contextmanager
def open_in_force(endpoint: Endpoint, settings: Settings) -> Iterator[Sandbox]:
    """Open a sandbox with the policy that the plugin has in force which an endpoint's daemon asks.

    ``settings`` are those that the plugin has if it was started without options. Raises
    ``SetupError`` if it cannot be known that it decides with them.
    """
    revision = _revision(read_metrics(settings.metrics))
    with open_sandbox(settings, sends=True) as sandbox:
        if sandbox.bundle.revision != revision:
            raise SetupError(
                f"the plugin decides with policy {revision}, and the settings here make "
                f"{sandbox.bundle.revision}"
            )
        _check_asked(endpoint, settings.metrics)
        yield sandbox


def _check_asked(endpoint: Endpoint, metrics: Metrics) -> None:
    """Raise ``SetupError`` if the plugin does not count what it must deny to an endpoint."""
    expected = _denials(read_metrics(metrics)) + _REQUESTS
    for _ in range(_REQUESTS):
        exchange(endpoint, ALWAYS_DENIED)
    end = time.monotonic() + _LIMIT
    while _denials(read_metrics(metrics)) < expected:
        if time.monotonic() > end:
            raise SetupError(
                f"the plugin with metrics at {metrics.listen} was not asked about a request to "
                f"{endpoint.url}"
            )
        time.sleep(0.05)


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
