"""The whole examination of a host, each part of it in spite of what the others find."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from authz_plugin.docker_client import exchange
from authz_plugin.doctor.access import look_at_files, look_at_plugin, look_at_socket
from authz_plugin.doctor.dockerd import look_at_dockerd
from authz_plugin.doctor.engine import look_at_engine
from authz_plugin.doctor.finding import SEVERITIES, Finding
from authz_plugin.doctor.guard import look_at_enforcement, look_at_opa, look_at_policy
from authz_plugin.doctor.host import Host
from authz_plugin.doctor.workloads import look_at_workloads
from authz_plugin.errors import EndpointError, SetupError
from authz_plugin.settings import Settings
from authz_plugin.shown import Client
from authz_plugin.trial import Trial, open_trial
from authz_plugin.validation.probes import PROBES


def examine(host: Host, client: Client, load: Callable[[], Settings]) -> list[Finding]:
    """Every finding, the worst first; ``load`` reads the plugin's settings."""
    findings = list(_examine(host, client, load))
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _examine(host: Host, client: Client, load: Callable[[], Settings]) -> Iterator[Finding]:
    yield from look_at_dockerd(host)
    yield from look_at_socket(host)
    yield from look_at_plugin(host)
    with contextlib.ExitStack() as stack:
        settings: Settings | None = None
        trial: Trial | None = None
        try:
            settings = load()
            trial = stack.enter_context(open_trial(settings))
        except SetupError as error:
            yield Finding(
                "policy.settings",
                "critical",
                f"the plugin would not start with these settings: {error}",
                "once it stops, dockerd refuses everything",
                "mend it, then `opa-authz check`",
            )
        if settings is not None:
            yield from look_at_opa(settings, None if trial is None else trial.opa)
        if trial is not None:
            yield from look_at_policy(trial.config, datetime.now(UTC).date())
        yield from look_at_files(host, settings)
        yield from _api(host, trial, client)


def _api(host: Host, trial: Trial | None, client: Client) -> Iterator[Finding]:
    """What dockerd itself says, and does."""
    try:
        ping = exchange(host.endpoint, PROBES["system.ping"])
        yield from look_at_engine(ping.headers.get("server", ""))
        yield from look_at_enforcement(host.endpoint, trial, client)
        yield from look_at_workloads(host.endpoint)
    except EndpointError as error:
        yield Finding(
            "api",
            "critical",
            str(error),
            "whether anything is enforced is not known",
            "start dockerd, or name another endpoint with --host",
        )
