"""Runs all checks of a host. A check that cannot be carried out does not stop the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from authz_plugin.engine import binary
from authz_plugin.engine.binary import Opa
from authz_plugin.errors import EndpointError, EngineSetupError, SetupError
from authz_plugin.settings import Settings
from authz_plugin.tools.authz_message import Client
from authz_plugin.tools.docker_client import exchange
from authz_plugin.tools.doctor.access import check_files, check_plugin, check_socket
from authz_plugin.tools.doctor.builder import check_builder
from authz_plugin.tools.doctor.dockerd import (
    check_data_root,
    check_dockerd,
    check_reported_data_root,
)
from authz_plugin.tools.doctor.enforcement import (
    check_audit,
    check_enforcement,
    check_opa,
    check_policy,
    plugin_gives_no_answer,
)
from authz_plugin.tools.doctor.engine import check_engine, check_registry_protocol
from authz_plugin.tools.doctor.finding import SEVERITIES, Finding
from authz_plugin.tools.doctor.hardening import check_dockerd_info, check_dockerd_settings
from authz_plugin.tools.doctor.host import Host
from authz_plugin.tools.doctor.native_grpc import check_native_grpc
from authz_plugin.tools.doctor.uploads import check_uploads
from authz_plugin.tools.doctor.workloads import check_workloads
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.checks import observe
from authz_plugin.tools.validation.probes import PROBES


@dataclass(frozen=True, slots=True)
class Examination:
    """The findings on a host, sorted by severity, the worst first.

    ``policy_revision`` is the revision of the bundle that the plugin's settings make, and empty if
    they are not valid.
    """

    time: datetime
    host: str
    endpoint: str
    policy_revision: str
    findings: Sequence[Finding]

    def to_document(self) -> dict[str, Any]:
        """Return the examination as the JSON object that ``--json`` prints."""
        return {
            "version": 1,
            "time": self.time.isoformat(timespec="seconds"),
            "host": self.host,
            "endpoint": self.endpoint,
            "policy_revision": self.policy_revision,
            "findings": [asdict(finding) for finding in self.findings],
        }


def examine(host: Host, client: Client, load: Callable[[], Settings]) -> Examination:
    """Run all checks.

    ``client`` is the identity of this program at the endpoint. ``load`` reads the plugin's
    settings; a ``SetupError`` that it raises becomes a finding.
    """
    now = datetime.now(UTC)
    findings = [*check_dockerd(host), *check_dockerd_settings(host), *check_builder(host)]
    findings += [*check_socket(host), *check_plugin(host)]
    with contextlib.ExitStack() as stack:
        settings: Settings | None = None
        sandbox: Sandbox | None = None
        try:
            settings = load()
            sandbox = stack.enter_context(open_sandbox(settings, sends=True))
        except SetupError as error:
            findings.append(_invalid_settings(error))
        if settings is not None:
            findings += check_opa(settings, _opa(settings))
            findings += check_audit(settings)
            findings += check_uploads(settings)
            findings += check_data_root(host, settings)
        if sandbox is not None:
            findings += check_policy(sandbox.config, now.date())
        findings += [*check_files(host, settings), *_check_api(host, settings, sandbox, client)]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    revision = "" if sandbox is None else sandbox.bundle.revision
    return Examination(now, host.name, host.endpoint.url, revision, findings)


def _opa(settings: Settings) -> Opa | None:
    """The OPA program that the plugin would use, or None if there is none."""
    try:
        return binary.find(settings.opa.binary)
    except EngineSetupError:
        return None


def _invalid_settings(error: SetupError) -> Finding:
    return Finding(
        "policy.settings",
        "critical",
        f"the plugin would not start with these settings: {error}",
        "once it stops, dockerd refuses everything",
        "mend it, then `opa-authz check`",
    )


def _check_api(
    host: Host, settings: Settings | None, sandbox: Sandbox | None, client: Client
) -> Iterator[Finding]:
    """Run the checks that send requests to dockerd; an endpoint that fails becomes a finding.

    While a plugin gives no answer, dockerd refuses each request after some 15 seconds: after the
    first one, only the native gRPC call is made, about which dockerd asks no plugin.
    """
    try:
        ping = exchange(host.endpoint, PROBES["system.ping"])
        server = ping.headers.get("server", "")
        observation = observe(PROBES["system.ping"], ping)
        if observation.verdict == "failed":
            yield plugin_gives_no_answer(observation)
            yield from check_native_grpc(host, server)
            return
        yield from check_engine(server)
        yield from check_registry_protocol(server)
        yield from check_native_grpc(host, server)
        yield from check_enforcement(host.endpoint, sandbox, client)
        yield from check_workloads(host.endpoint)
        yield from check_dockerd_info(host.endpoint)
        if settings is not None:
            yield from check_reported_data_root(host.endpoint, settings)
    except EndpointError as error:
        yield Finding(
            "api",
            "critical",
            str(error),
            "whether anything is enforced is not known",
            "start dockerd, or name another endpoint with --host",
        )
