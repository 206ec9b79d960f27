"""The choice of the engine that decides.

Modules of engines that do not decide are not imported: they would take a seventh of the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from authz_plugin.engine import Engine, binary
from authz_plugin.errors import PolicyError, UnsupportedBuiltinsError
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Settings
from authz_plugin.supervisor.embedded_engine import Embedded
from authz_plugin.supervisor.policy_status import PolicyStatus
from authz_plugin.supervisor.waits import Warn


class SupervisedEngine(Protocol):
    """An engine as the supervisor sees it. ``name`` is for records: ``"embedded"``, ``"opa"``."""

    name: str

    def start(self, settings: Settings) -> PolicyStatus:
        """Put the policy of these settings in force; raises ``SetupError``."""

    def open_in_server(self, settings: Settings, warn: Warn) -> Engine:
        """Open the engine in the process that answers dockerd.

        ``warn`` is called before a decision that may take a while.
        """

    def check(self) -> None:
        """Keep the engine running; called several times a second."""

    def close(self) -> None:
        """Stop the engine."""


def start_engine(
    settings: Settings,
    shared_status: SharedStatus,
    say: Callable[[str], None],
    *,
    has_policy: bool = True,
) -> tuple[SupervisedEngine, PolicyStatus]:
    """Start the engine that the settings name, and put their policy in force.

    With ``engine: auto`` that is the embedded engine, unless the settings need OPA's server.
    ``say`` is called with messages for the operator. Without ``has_policy`` no policy is in force,
    and every request is denied, until the engine is started with one. Raises ``SetupError``.
    """

    def started(engine: SupervisedEngine, why: str) -> tuple[SupervisedEngine, PolicyStatus]:
        if has_policy:
            return _started(engine, settings, why)
        return engine, PolicyStatus("none", f"{engine.name} ({why})", "none", 0)

    def started_child(why: str) -> tuple[SupervisedEngine, PolicyStatus]:
        from authz_plugin.supervisor.child_engine import ChildEngine  # noqa: PLC0415 - see above

        opa = binary.find(settings.opa.binary)
        return started(ChildEngine(opa, shared_status, say), why)

    if settings.opa.url is not None:
        from authz_plugin.supervisor.operator_engine import OperatorEngine  # noqa: PLC0415

        return started(OperatorEngine(settings.opa, shared_status, say), "opa.url is set")
    if settings.engine == "opa":
        return started_child("engine is opa")
    if settings.opa.decision_log:
        return started_child("opa.decision_log is set")
    why = "engine is embedded" if settings.engine == "embedded" else "the default"
    try:
        return started(Embedded(shared_status), why)
    except UnsupportedBuiltinsError as error:
        if settings.engine == "embedded":
            raise PolicyError(f"{error}: set engine to auto or opa") from error
        return started_child(str(error))


def _started(
    engine: SupervisedEngine, settings: Settings, why: str
) -> tuple[SupervisedEngine, PolicyStatus]:
    try:
        status = engine.start(settings)
    except BaseException:
        engine.close()
        raise
    return engine, status._replace(engine=f"{status.engine} ({why})")
