"""OPA as a child process: one process for each policy, restarted if it ends or does not answer."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

from authz_plugin import policy
from authz_plugin.engine import Engine, binary, child
from authz_plugin.engine.cache import CachingEngine, policy_behind
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.errors import EngineError, PolicyError, SetupError
from authz_plugin.hostpaths import host_paths
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Settings
from authz_plugin.supervisor.policy_status import PolicyStatus, probe, status_facts
from authz_plugin.supervisor.runtime_folder import open_runtime_folder, policy_folder
from authz_plugin.supervisor.waits import WaitingEngine, Warn

_HEALTH_EVERY: Final = 1.0
_UNHEALTHY_LIMIT: Final = 3
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0


class ChildEngine:
    """OPA as a child process.

    Each policy has its own process and folder. The server connects to ``opa.sock`` in the runtime
    folder, a symbolic link to the socket of the current process. The link is changed to a new
    process after that has given a complete decision; then the old process is stopped.
    """

    name = "opa"

    def __init__(
        self, opa: binary.Opa, shared_status: SharedStatus, say: Callable[[str], None]
    ) -> None:
        self._opa = opa
        self._shared_status = shared_status
        self._say = say
        self._restarts = 0
        self._decision_log = False
        self._folder, self._lock = open_runtime_folder()
        self._generation = 0
        self._running: child.ChildOpa | None = None
        self._next_health = 0.0
        self._unhealthy = 0
        self._delay = _FIRST_DELAY
        self._next_start = 0.0

    def open_in_server(self, settings: Settings, warn: Warn) -> Engine:
        """Open the engine in the process that answers dockerd.

        Decisions are cached, except with OPA's decision log, which must have every decision.
        """
        link = self._folder / "opa.sock"
        opa = OpaEngine(OpaAddress(f"unix:{link}"), policy.shipped_rules(), settings.deadline)
        engine = WaitingEngine(opa, warn)
        return engine if settings.opa.decision_log else CachingEngine(engine, policy_behind(link))

    def start(self, settings: Settings) -> PolicyStatus:
        """Put the policy of these settings in force.

        Raises ``SetupError`` if it cannot be served; then the previous policy stays in force.
        """
        self._generation += 1
        with policy_folder(self._folder / str(self._generation), self._is_in_force) as folder:
            return self._start_in(folder, settings)

    def _is_in_force(self, folder: Path) -> bool:
        return self._running is not None and self._running.bundle.parent == folder

    def _start_in(self, folder: Path, settings: Settings) -> PolicyStatus:
        config = policy.configuration(settings, host_paths(visible=settings.sees_host))
        bundle = policy.assemble(folder / "bundle", config, settings.policies, self._opa)
        custom = policy.rule_ids(settings.policies) if settings.policies else ()
        ends = [datetime.fromisoformat(item["until"]) for item in config["exceptions"]]
        self._decision_log = settings.opa.decision_log
        status = self._serve(bundle.folder, settings.deadline)
        self._shared_status.update(
            **status_facts(status),
            engine=f"opa {self._opa.version}",
            custom_rules=sorted(custom),
            exceptions=[end.timestamp() for end in ends],
        )
        return status._replace(engine=f"OPA {self._opa.version} ({self._opa.path})")

    def check(self) -> None:
        """Restart OPA if it ended; kill it first if ``_UNHEALTHY_LIMIT`` health checks failed."""
        running = self._running
        if running is None:
            return
        now = time.monotonic()
        if running.is_running() and now >= self._next_health:
            self._next_health = now + _HEALTH_EVERY
            self._point_socket_at(running)
            self._unhealthy = 0 if running.is_healthy() else self._unhealthy + 1
            if self._unhealthy == 0:
                self._delay = _FIRST_DELAY
            self._shared_status.update(engine_up=self._unhealthy == 0)
            if self._unhealthy >= _UNHEALTHY_LIMIT:
                self._say("OPA hangs: it is killed and started again")
                running.kill()
        if not running.is_running() and now >= self._next_start:
            self._restart(running.bundle)

    def close(self) -> None:
        if self._running is not None:
            self._running.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def _restart(self, bundle: Path) -> None:
        if not bundle.is_dir():
            raise SetupError(f"{bundle} was removed: start the plugin again")
        self._say("OPA ended: it is started again")
        self._restarts += 1
        self._shared_status.update(engine_up=False, engine_restarts=self._restarts)
        try:
            self._serve(bundle, _LONGEST_DELAY)
        except SetupError as error:
            self._say(f"OPA cannot be started, next try in {self._delay:g} s: {error}")
        self._next_start = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    def _serve(self, bundle: Path, deadline: float) -> PolicyStatus:
        log = self._decision_log
        started, status = start_deciding(self._opa, bundle, deadline, decision_log=log)
        try:
            self._point_socket_at(started)
        except Exception:
            started.stop()
            raise
        previous, self._running = self._running, started
        self._unhealthy = 0
        self._shared_status.update(engine_up=True)
        if previous is not None:
            previous.stop()
            if previous.bundle != bundle:
                shutil.rmtree(previous.bundle.parent, ignore_errors=True)
        return status

    def _point_socket_at(self, opa: child.ChildOpa) -> None:
        """Make ``opa.sock`` a link to the socket of an OPA, atomically; raises ``SetupError``."""
        link, new = self._folder / "opa.sock", self._folder / "opa.sock.new"
        try:
            if link.is_symlink() and link.readlink() == opa.socket:
                return
            new.unlink(missing_ok=True)
            new.symlink_to(opa.socket)
            new.replace(link)
        except OSError as error:
            raise SetupError(f"{link} cannot be made: {error.strerror}") from error


def start_deciding(
    opa: binary.Opa, bundle: Path, deadline: float, *, decision_log: bool
) -> tuple[child.ChildOpa, PolicyStatus]:
    """Start OPA with the bundle in a folder, as ``child.start``, and have it decide.

    ``deadline`` is the time in seconds that the decision may take. Raises ``SetupError``; OPA is
    then stopped.
    """
    started = child.start(opa, bundle, decision_log=decision_log)
    try:
        address = OpaAddress(f"unix:{started.socket}")
        with closing(OpaEngine(address, policy.shipped_rules(), deadline)) as engine:
            return started, probe(engine)
    except EngineError as error:
        started.stop()
        raise PolicyError(f"the policy gives no complete decision: {error}") from error
    except BaseException:
        started.stop()
        raise
