"""Reads what the running plugin serves at ``metrics.listen``: its metrics and its health."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from authz_plugin.errors import EndpointError, SetupError
from authz_plugin.journal.scrape import read_token
from authz_plugin.settings import Metrics
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange, find_endpoint

_LIMIT: Final = 1.0
"""Seconds for an answer."""


def read_metrics(metrics: Metrics) -> Sequence[Sample]:
    """Return the metrics of the plugin; raises ``SetupError`` with the reason if none are read."""
    try:
        return _samples(_get(metrics, "/metrics"))
    except (EndpointError, ValueError):
        raise _not_served(metrics) from None


def read_faults(metrics: Metrics) -> Mapping[str, str]:
    """Return the faults of the plugin (``{"audit": "No space left on device"}``), empty for none.

    Raises ``SetupError`` with the reason if its health is not known.
    """
    try:
        faults = json.loads(_get(metrics, "/healthz").body)["faults"]
        return {str(name): str(reason) for name, reason in faults.items()}
    except (EndpointError, ValueError, KeyError, TypeError, AttributeError):
        raise _not_served(metrics) from None


def _get(metrics: Metrics, path: str) -> Reply:
    """Return the answer to a path; raises ``EndpointError`` and ``SetupError``."""
    if metrics.listen == "off":
        raise SetupError("the plugin's settings here serve no metrics (metrics.listen: off)")
    if metrics.certificate is not None:
        raise SetupError(f"the plugin's metrics at {metrics.listen} need TLS")
    headers: tuple[tuple[str, str], ...] = ()
    if metrics.token_file is not None:
        headers = (("Authorization", f"Bearer {read_token(metrics.token_file).decode()}"),)
    return exchange(_endpoint(metrics.listen), Request("GET", path, headers), _LIMIT)


def _not_served(metrics: Metrics) -> SetupError:
    return SetupError(f"no plugin serves metrics at {metrics.listen}")


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
