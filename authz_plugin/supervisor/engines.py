"""The choice of the engine that decides.

Modules of engines that do not decide are not imported: they would take a seventh of the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from authz_plugin import policy
from authz_plugin.engine import Engine, binary
from authz_plugin.errors import PolicyError, UnsupportedBuiltinsError
from authz_plugin.hostpaths import host_paths
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.policy import Bundle
from authz_plugin.settings import Settings
from authz_plugin.supervisor.embedded_engine import Embedded, prepare_policy
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
    why_child = _why_child(settings)
    if why_child:
        return started_child(why_child)
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


def _started(
    engine: SupervisedEngine, settings: Settings, why: str
) -> tuple[SupervisedEngine, PolicyStatus]:
    try:
        status = engine.start(settings)
    except BaseException:
        engine.close()
        raise
    return engine, replace(status, engine=f"{status.engine} ({why})")
