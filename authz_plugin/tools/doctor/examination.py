"""The whole examination of a host, each part of it in spite of what the others find."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from authz_plugin.errors import EndpointError, SetupError
from authz_plugin.settings import Settings
from authz_plugin.tools.authz_message import Client
from authz_plugin.tools.docker_client import exchange
from authz_plugin.tools.doctor.access import look_at_files, look_at_plugin, look_at_socket
from authz_plugin.tools.doctor.dockerd import (
    look_at_data_root,
    look_at_dockerd,
    look_at_root_in_use,
)
from authz_plugin.tools.doctor.engine import look_at_engine, look_at_registries
from authz_plugin.tools.doctor.finding import SEVERITIES, Finding
from authz_plugin.tools.doctor.guard import (
    look_at_audit,
    look_at_enforcement,
    look_at_opa,
    look_at_policy,
)
from authz_plugin.tools.doctor.hardening import look_at_daemon, look_at_settings
from authz_plugin.tools.doctor.host import Host
from authz_plugin.tools.doctor.workloads import look_at_workloads
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.probes import PROBES


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found on a host, the worst first. ``policy_revision`` is that of the policy which
    the settings make, and empty where they make none."""

    time: datetime
    host: str
    endpoint: str
    policy_revision: str
    findings: Sequence[Finding]

    def to_document(self) -> dict[str, Any]:
        """The examination as ``--json`` prints it."""
        return {
            "version": 1,
            "time": self.time.isoformat(timespec="seconds"),
            "host": self.host,
            "endpoint": self.endpoint,
            "policy_revision": self.policy_revision,
            "findings": [asdict(finding) for finding in self.findings],
        }


def examine(host: Host, client: Client, load: Callable[[], Settings]) -> Examination:
    """Look at everything; ``load`` reads the plugin's settings."""
    now = datetime.now(UTC)
    findings = [*look_at_dockerd(host), *look_at_settings(host)]
    findings += [*look_at_socket(host), *look_at_plugin(host)]
    with contextlib.ExitStack() as stack:
        settings: Settings | None = None
        sandbox: Sandbox | None = None
        try:
            settings = load()
            sandbox = stack.enter_context(open_sandbox(settings))
        except SetupError as error:
            findings.append(_unsound(error))
        if settings is not None:
            findings += look_at_opa(settings, None if sandbox is None else sandbox.opa)
            findings += look_at_audit(settings)
            findings += look_at_data_root(host, settings)
        if sandbox is not None:
            findings += look_at_policy(sandbox.config, now.date())
        findings += [*look_at_files(host, settings), *_api(host, settings, sandbox, client)]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    revision = "" if sandbox is None else sandbox.bundle.revision
    return Examination(now, host.name, host.endpoint.url, revision, findings)


def _unsound(error: SetupError) -> Finding:
    return Finding(
        "policy.settings",
        "critical",
        f"the plugin would not start with these settings: {error}",
        "once it stops, dockerd refuses everything",
        "mend it, then `opa-authz check`",
    )


def _api(
    host: Host, settings: Settings | None, sandbox: Sandbox | None, client: Client
) -> Iterator[Finding]:
    """What dockerd itself says, and does."""
    try:
        server = exchange(host.endpoint, PROBES["system.ping"]).headers.get("server", "")
        yield from look_at_engine(server)
        yield from look_at_registries(server)
        yield from look_at_enforcement(host.endpoint, sandbox, client)
        yield from look_at_workloads(host.endpoint)
        yield from look_at_daemon(host.endpoint)
        if settings is not None:
            yield from look_at_root_in_use(host.endpoint, settings)
    except EndpointError as error:
        yield Finding(
            "api",
            "critical",
            str(error),
            "whether anything is enforced is not known",
            "start dockerd, or name another endpoint with --host",
        )
