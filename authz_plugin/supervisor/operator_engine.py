"""The OPA that the operator runs, asked over ``opa.url``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

from authz_plugin import policy
from authz_plugin.engine import Engine
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.errors import EngineError, SetupError
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import OpaSettings, Settings
from authz_plugin.supervisor.policy_status import PolicyStatus, probe, status_facts
from authz_plugin.supervisor.waits import WaitingEngine, Warn

_PROBE_EVERY: Final = 5.0
_PROBE_LIMIT: Final = 1.0


class OperatorEngine:
    """An OPA that the operator runs. The plugin neither starts nor stops it."""

    name = "opa"

    def __init__(
        self, opa: OpaSettings, shared_status: SharedStatus, say: Callable[[str], None]
    ) -> None:
        self._opa = opa_address(opa)
        self._shared_status = shared_status
        self._say = say
        self._next_probe = 0.0

    def open_in_server(self, settings: Settings, warn: Warn) -> Engine:
        """Open the engine in the process that answers dockerd.

        Decisions are not cached, because the plugin cannot detect at once that the policy has
        changed.
        """
        address = opa_address(settings.opa)
        return WaitingEngine(OpaEngine(address, policy.shipped_rules(), settings.deadline), warn)

    def start(self, settings: Settings) -> PolicyStatus:
        if settings.policy or settings.policies:
            raise SetupError(
                "opa.url is set, so that OPA's bundle holds the policy: take "
                f"{', '.join(settings.policy) or 'policies'} out of the settings and build them "
                "into the bundle with `opa-authz bundle`"
            )
        self._shared_status.update(engine="opa of the operator")
        try:
            status = self._probe(settings.deadline)
        except EngineError as error:
            self._say(f"every request is denied until OPA decides: {error}")
            return PolicyStatus("unknown", f"OPA at {settings.opa.url}", "unknown", 0)
        self._shared_status.update(engine_up=True, **status_facts(status))
        return status._replace(engine=f"OPA at {settings.opa.url}")

    def check(self) -> None:
        """Every ``_PROBE_EVERY`` seconds, ask OPA for a decision and update the shared status."""
        now = time.monotonic()
        if now < self._next_probe:
            return
        self._next_probe = now + _PROBE_EVERY
        try:
            status = self._probe(_PROBE_LIMIT)
        except EngineError:
            self._shared_status.update(engine_up=False)
        else:
            changed = self._shared_status.read()["revision"] != status.revision
            self._shared_status.update(engine_up=True, **(status_facts(status) if changed else {}))

    def _probe(self, deadline: float) -> PolicyStatus:
        with closing(OpaEngine(self._opa, policy.shipped_rules(), deadline)) as engine:
            return probe(engine)

    def close(self) -> None:
        """Do nothing: the operator stops this OPA."""


def opa_address(opa: OpaSettings) -> OpaAddress:
    """The address of the operator's OPA under these settings."""
    return OpaAddress(opa.url or "", opa.token_file, opa.ca, opa.certificate, opa.key)
