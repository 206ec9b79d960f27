"""The choice of the engine that decides.

Modules of engines that do not decide are not imported: they would take a seventh of the start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from authz_plugin import policy
from authz_plugin.engine import Engine, binary
from authz_plugin.errors import PolicyError, UnsupportedBuiltinsError
from authz_plugin.hostpaths import host_paths
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.policy import Bundle
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
    why_child = _why_child(settings)
    if why_child:
        return started_child(why_child)
    from authz_plugin.supervisor.embedded_engine import Embedded  # noqa: PLC0415

    why = "engine is embedded" if settings.engine == "embedded" else "the default"
    try:
        return started(Embedded(shared_status), why)
    except UnsupportedBuiltinsError as error:
        _check_child_may_decide(settings, error)
        return started_child(str(error))


def check_policy(settings: Settings, folder: Path) -> Bundle:
    """Write the policy of these settings into an empty folder, and have it decide a request.

    The engine that decides is the one that ``start_engine`` would start; with ``opa.url``, and for
    a policy that can send requests, none does. Nothing is in force afterwards. Raises
    ``SetupError`` with the words of ``start_engine``.
    """
    from authz_plugin.supervisor.embedded_engine import prepare_policy  # noqa: PLC0415 - see above

    config = policy.configuration(settings, host_paths(visible=settings.sees_host))
    if settings.opa.url is not None:
        opa = binary.OpaWhenNeeded(settings.opa.binary)
        return policy.assemble(folder / "bundle", config, settings.policies, opa)
    if not _why_child(settings):
        try:
            return prepare_policy(settings, config, folder / "embedded")[0]
        except UnsupportedBuiltinsError as error:
            _check_child_may_decide(settings, error)
    return _checked_by_child(settings, config, folder / "opa")


def _checked_by_child(settings: Settings, config: Mapping[str, Any], folder: Path) -> Bundle:
    from authz_plugin.engine.compiled import network_calls  # noqa: PLC0415 - see above
    from authz_plugin.supervisor.child_engine import start_deciding  # noqa: PLC0415

    opa = binary.find(settings.opa.binary)
    bundle = policy.assemble(folder / "bundle", config, settings.policies, opa)
    if not network_calls(opa, bundle.folder):
        started, _ = start_deciding(opa, bundle.folder, settings.deadline, decision_log=False)
        started.stop()
    return bundle


def _why_child(settings: Settings) -> str:
    """Why OPA's server must decide as a child of the plugin; empty if the settings allow the
    embedded engine."""
    if settings.engine == "opa":
        return "engine is opa"
    return "opa.decision_log is set" if settings.opa.decision_log else ""


def _check_child_may_decide(settings: Settings, error: UnsupportedBuiltinsError) -> None:
    """Raise ``PolicyError`` if the settings exclude OPA's server, which the policy needs."""
    if settings.engine == "embedded":
        raise PolicyError(f"{error}: set engine to auto or opa") from error
