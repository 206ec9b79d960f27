"""The choice of the engine that decides.

Modules of engines that do not decide are not imported: they would take a seventh of the start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from authz_plugin.engine import Engine, binary
from authz_plugin.errors import PolicyError, UnsupportedBuiltinsError
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Settings
from authz_plugin.supervisor.gunicorn_process import GunicornProcess
from authz_plugin.supervisor.policy_status import PolicyStatus
from authz_plugin.supervisor.waits import Warn

_NO_POLICY: Final = PolicyStatus("none", "", "none", 0)


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


ForkServer = Callable[[SupervisedEngine, Settings], GunicornProcess]
"""Forks the server of an engine that is about to start with the policy of these settings."""


class Started(NamedTuple):
    """What runs after a start: the engine, its server, which has no sockets yet, the policy in
    force, and the settings with that policy."""

    engine: SupervisedEngine
    server: GunicornProcess
    status: PolicyStatus
    settings: Settings


def start_engine(
    settings: Settings,
    shared_status: SharedStatus,
    say: Callable[[str], None],
    fork_server: ForkServer,
    *,
    has_policy: bool = True,
) -> Started:
    """Start the engine that the settings name, and put their policy in force.

    With ``engine: auto`` that is the embedded engine, unless the settings need OPA's server.
    ``say`` is called with messages for the operator. Without ``has_policy`` no policy is in force,
    and every request is denied, until the engine is started with one. Raises ``SetupError``.
    """

    def started(engine: SupervisedEngine, why: str) -> Started:
        with contextlib.ExitStack() as failed:
            failed.callback(engine.close)
            server = fork_server(engine, settings)
            failed.callback(server.stop)
            status = engine.start(settings) if has_policy else _NO_POLICY
            failed.pop_all()
        status = status._replace(engine=f"{status.engine or engine.name} ({why})")
        return Started(engine, server, status, settings)

    def started_child(why: str) -> Started:
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
    from authz_plugin.supervisor.embedded_engine import Embedded  # noqa: PLC0415

    why = "engine is embedded" if settings.engine == "embedded" else "the default"
    try:
        return started(Embedded(shared_status), why)
    except UnsupportedBuiltinsError as error:
        if settings.engine == "embedded":
            raise PolicyError(f"{error}: set engine to auto or opa") from error
        return started_child(str(error))
