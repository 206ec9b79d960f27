"""Start and supervise the processes of the plugin.

The supervisor opens the listening socket and starts gunicorn and the engine. It restarts OPA if
that ends or hangs, reloads the policy on SIGHUP, and stops both when it stops. It does not handle
requests.
"""

from __future__ import annotations

import contextlib
import grp
import os
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from authz_plugin import systemd
from authz_plugin.errors import AuthzError, SetupError, defect
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.listener import open_listener
from authz_plugin.processes import SIGNALS
from authz_plugin.revocations import read_revoked
from authz_plugin.settings import Settings
from authz_plugin.supervisor.engines import SupervisedEngine
from authz_plugin.supervisor.gunicorn_process import GunicornProcess
from authz_plugin.supervisor.metrics_socket import metrics_address, open_metrics
from authz_plugin.supervisor.policy_source import open_policy_source, start_with
from authz_plugin.supervisor.policy_status import PolicyStatus, PutInForce

_AT_START: Final = (
    "server", "engine", "opa", "deadline", "identities", "host_paths", "data_root", "log", "audit",
    "metrics", "fleet",
)  # fmt: skip
_TICK: Final = 0.25
_SILENCE_LIMIT: Final = 10.0


def run(
    settings: Settings,
    reload: Callable[[], Settings],
    announce: Callable[[PolicyStatus], None],
    say: Callable[[str], None],
) -> None:
    """Run the plugin until SIGTERM or SIGINT.

    ``reload`` is called on SIGHUP and loads the settings again. ``announce`` is called once, when
    the plugin answers requests; ``say`` is called with each message for the operator. Raises
    ``SetupError`` if the plugin cannot start, or if its server ends.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if settings.identities is not None:
        read_revoked(settings.identities)
    _check_group(settings.audit.group)
    with contextlib.ExitStack() as cleanup:
        shared_status = SharedStatus()
        source = open_policy_source(settings, shared_status, say)
        cleanup.callback(source.close)

        def fork_server(engine: SupervisedEngine, settings: Settings) -> GunicornProcess:
            def serve(supervisor: socket.socket) -> NoReturn:
                from authz_plugin.supervisor.plugin_server import serve_plugin  # noqa: PLC0415

                serve_plugin(settings, engine, supervisor, shared_status)

            return GunicornProcess(serve)

        def reload_settings() -> Settings:
            return source.applied(reload())

        engine, gunicorn, status, running = start_with(
            source, settings, shared_status, say, fork_server
        )
        cleanup.callback(engine.close)
        put_in_force = partial(_put_in_force, engine, running, say)
        sockets = cleanup.enter_context(contextlib.ExitStack())  # removed after the server ended
        cleanup.callback(gunicorn.stop)
        metrics = open_metrics(settings.metrics, say)
        if metrics is not None:
            sockets.callback(_close_listener, metrics)
        listener = open_listener(
            settings.server.socket, settings.server.group, settings.server.listen
        )
        sockets.callback(_close_listener, listener)
        gunicorn.serve(listener, metrics)
        announce(status._replace(metrics=metrics_address(settings.metrics, metrics)))
        cleanup.callback(systemd.notify, "STOPPING=1")
        systemd.notify("READY=1")
        for signal_number in _signals():
            if signal_number in {signal.SIGTERM, signal.SIGINT}:
                break
            if signal_number == signal.SIGHUP:
                _reload_policy(put_in_force, reload_settings, shared_status, say)
            gunicorn.check()
            engine.check()
            source.check(settings, put_in_force)
            if shared_status.seconds_since_heartbeat() < _SILENCE_LIMIT:
                systemd.notify("WATCHDOG=1")


def _check_group(name: str | None) -> None:
    """Raise ``SetupError`` if the group that may read the audit file does not exist."""
    if name is None:
        return
    try:
        grp.getgrnam(name)
    except KeyError:
        raise SetupError(f"audit.group: there is no group {name}") from None


def _reload_policy(
    put_in_force: PutInForce,
    reload: Callable[[], Settings],
    shared_status: SharedStatus,
    say: Callable[[str], None],
) -> None:
    """Put the policy of the changed settings in force, or keep the present one and report why."""
    reloads = shared_status.read()["reloads"]
    try:
        status = put_in_force(reload())
    except Exception as error:  # noqa: BLE001 - a defect must not end the plugin
        reason = error if isinstance(error, AuthzError) else f"a defect, {defect(error)}"
        reloads["refused"] += 1
        shared_status.update(reloads=reloads, reload_successful=False)
        say(f"the new policy is not taken over, the running one stays: {reason}")
    else:
        reloads["taken_over"] += 1
        shared_status.update(reloads=reloads, reload_successful=True)
        say(f"policy revision {status.revision} of profile {status.profile} is in force")


def _put_in_force(
    engine: SupervisedEngine, running: Settings, say: Callable[[str], None], changed: Settings
) -> PolicyStatus:
    """Put the policy of changed settings in force; ``running`` are those of the start."""
    settings, waiting = _reloadable(running, changed)
    status = engine.start(settings)
    if waiting:
        say(f"{', '.join(waiting)}: changed, and in force only after a restart")
    return status


def _reloadable(running: Settings, changed: Settings) -> tuple[Settings, list[str]]:
    """The changed settings, but with the running values of those that need a restart, and the names
    of settings whose change needs a restart."""
    kept = {name: getattr(running, name) for name in _AT_START}
    waiting = [name for name, value in kept.items() if getattr(changed, name) != value]
    waiting += ["ping"] if changed.policy.get("ping") != running.policy.get("ping") else []
    return changed._replace(**kept), waiting


def _signals() -> Iterator[int | None]:
    while True:
        received = signal.sigtimedwait(SIGNALS, _TICK)
        yield None if received is None else received.si_signo


def _close_listener(listener: socket.socket) -> None:
    name = listener.getsockname() if listener.family == socket.AF_UNIX else None
    listener.close()
    if isinstance(name, str) and os.environ.get("LISTEN_PID") != str(os.getpid()):
        Path(name).unlink(missing_ok=True)
