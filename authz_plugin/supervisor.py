"""The processes of a running plugin: this one, gunicorn, and OPA.

This process holds the listening socket, starts the other two, starts OPA again when it dies or
hangs, takes over a changed policy when told to, and stops everything when it stops. It decides
nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from flask import Flask

from authz_plugin import dockerd, policy, server, systemd
from authz_plugin.app import create_app
from authz_plugin.authorizer import Authorizer
from authz_plugin.caller import Caller, certificate_cache
from authz_plugin.document import input_document
from authz_plugin.engine import Engine, binary, child
from authz_plugin.engine.cache import CachingEngine
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.enginestate import EngineState, LocalEngineState, UnseenEngineState, data_root
from authz_plugin.errors import AuthzError, EngineError, PolicyError, SetupError, defect
from authz_plugin.hostpaths import HostPaths, LocalHostPaths, UnseenHostPaths
from authz_plugin.identities import Revocations, read_revoked
from authz_plugin.journal import address
from authz_plugin.journal.audit import AuditOptions
from authz_plugin.journal.journal import Journal
from authz_plugin.journal.log import LogOptions, route_logging
from authz_plugin.journal.metrics import Figures
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.listener import open_address, open_listener
from authz_plugin.processes import SIGNALS, begin_child
from authz_plugin.settings import Audit, Log, Metrics, OpaSettings, Settings

_AT_START: Final = (
    "server", "opa", "deadline", "identities", "host_paths", "data_root", "log", "audit", "metrics",
)  # fmt: skip
_TICK: Final = 0.25
_HEALTH_EVERY: Final = 1.0
_UNHEALTHY_LIMIT: Final = 3
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
_STOP_LIMIT: Final = 15.0
_PROBE_EVERY: Final = 5.0
_PROBE_LIMIT: Final = 1.0
_SILENCE_LIMIT: Final = 10.0
_FOLDER_PREFIX: Final = "opa-authz-"
_LOCK_NAME: Final = "plugin.lock"


@dataclass(frozen=True, slots=True)
class Guard:
    """What the plugin guards with, for people to read."""

    profile: str
    engine: str
    revision: str
    packages: int
    metrics: str = "off"


def run(
    settings: Settings,
    reload: Callable[[], Settings],
    announce: Callable[[Guard], None],
    say: Callable[[str], None],
) -> None:
    """Run the plugin until SIGTERM or SIGINT.

    ``reload`` reads the settings anew, on SIGHUP; ``announce`` is told once when the plugin
    serves, ``say`` whatever else an operator should know. Raises ``SetupError`` if the plugin
    cannot start or its server ends.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if settings.identities is not None:
        read_revoked(settings.identities)
    with contextlib.ExitStack() as cleanup:
        shared_status = SharedStatus()
        engine = _open_engine(settings, shared_status, say)
        cleanup.callback(engine.close)
        guard = engine.start(settings)
        observed = _open_metrics(settings.metrics, say)
        if observed is not None:
            cleanup.callback(_close_listener, observed)
        listener = open_listener(settings.server)
        cleanup.callback(_close_listener, listener)
        opa = engine.address(settings)
        gunicorn = _Server(
            lambda end: _be_server(settings, opa, (listener, observed), shared_status, end)
        )
        cleanup.callback(gunicorn.stop)
        gunicorn.wait_until_serving()
        announce(replace(guard, metrics=_shown(settings.metrics, observed)))
        cleanup.callback(systemd.notify, "STOPPING=1")
        systemd.notify("READY=1")
        for signal_number in _signals():
            if signal_number in {signal.SIGTERM, signal.SIGINT}:
                break
            if signal_number == signal.SIGHUP:
                _take_over(engine, settings, reload, shared_status, say)
            gunicorn.check()
            engine.check()
            if shared_status.seconds_since_heartbeat() < _SILENCE_LIMIT:
                systemd.notify("WATCHDOG=1")


def host_paths(settings: Settings) -> HostPaths:
    """How the host's file system is seen under these settings."""
    return LocalHostPaths() if settings.host_paths == "visible" else UnseenHostPaths()


def engine_state(settings: Settings) -> EngineState:
    """How dockerd's own files are seen under these settings."""
    if settings.host_paths != "visible":
        return UnseenEngineState()
    return LocalEngineState(settings.data_root or data_root())


def opa_address(opa: OpaSettings) -> OpaAddress:
    """The address of the operator's OPA under these settings."""
    return OpaAddress(opa.url or "", opa.token_file, opa.ca, opa.certificate, opa.key)


def log_options(log: Log) -> LogOptions:
    """The options of the log under these settings."""
    return LogOptions(log.level, log.format, log.reads, log.queue)


def audit_options(audit: Audit) -> AuditOptions | None:
    """The options of the audit file under these settings, or None without an audit file."""
    if audit.file is None:
        return None
    return AuditOptions(
        file=audit.file,
        sync=audit.sync,
        max_size=audit.max_size,
        max_age=audit.max_age,
        retention=audit.retention,
        queue=audit.queue,
        inputs=audit.inputs,
        deny_on_failure=audit.on_failure == "deny",
    )


def probe(opa: OpaAddress, deadline: float) -> Guard:
    """Ask an OPA for a decision on a ping; raises ``EngineError`` if it gives no complete one."""
    ping = dockerd.read("GET", "/_ping", {}, b"")
    nobody = Caller("", "", ())
    document = input_document(
        ping, nobody, UnseenHostPaths(), datetime.now(UTC), UnseenEngineState()
    )
    with contextlib.closing(OpaEngine(opa, policy.shipped_rules(), deadline)) as engine:
        decision = engine.decide(document)
    return Guard(
        decision.profile, f"OPA at {opa.url}", decision.policy_revision, len(decision.evaluated)
    )


class _ChildEngine:
    """An OPA of our own, one process a policy: a new one serves before the old one stops."""

    def __init__(
        self, opa: binary.Opa, shared_status: SharedStatus, say: Callable[[str], None]
    ) -> None:
        self._opa = opa
        self._shared_status = shared_status
        self._say = say
        self._restarts = 0
        self._decision_log = False
        self._folder, self._lock = _own_folder()
        self._generation = 0
        self._running: child.ChildOpa | None = None
        self._next_health = 0.0
        self._unhealthy = 0
        self._delay = _FIRST_DELAY
        self._next_start = 0.0

    def address(self, settings: Settings) -> OpaAddress:
        del settings
        return OpaAddress(url=f"unix:{self._folder}/opa.sock")

    def start(self, settings: Settings) -> Guard:
        """Serve the policy of these settings from now on; raises ``SetupError`` and changes
        nothing if it cannot be served."""
        self._generation += 1
        folder = self._folder / str(self._generation)
        try:
            folder.mkdir()
            return self._start_in(folder, settings)
        except Exception as error:
            if self._running is None or self._running.bundle.folder.parent != folder:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise SetupError(f"the policy cannot be laid out: {error}") from error
            raise

    def _start_in(self, folder: Path, settings: Settings) -> Guard:
        config = policy.configuration(settings, host_paths(settings))
        bundle = policy.assemble(folder / "bundle", config, settings.policies, self._opa)
        custom = policy.rule_ids(settings.policies) if settings.policies else ()
        ends = [datetime.fromisoformat(item["until"]) for item in config["exceptions"]]
        self._decision_log = settings.opa.decision_log
        guard = self._serve(bundle, settings.deadline)
        self._shared_status.update(
            **_in_force(guard),
            engine=f"opa {self._opa.version}",
            custom_rules=sorted(custom),
            exceptions=[end.timestamp() for end in ends],
        )
        return replace(guard, engine=f"OPA {self._opa.version} ({self._opa.path})")

    def check(self) -> None:
        """Start OPA again if it died, and kill it first if it hangs."""
        running = self._running
        if running is None:
            return
        now = time.monotonic()
        if running.is_running() and now >= self._next_health:
            self._next_health = now + _HEALTH_EVERY
            self._lead_to(running)
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

    def _restart(self, bundle: policy.Bundle) -> None:
        if not bundle.folder.is_dir():
            raise SetupError(f"{bundle.folder} was removed: start the plugin again")
        self._say("OPA ended: it is started again")
        self._restarts += 1
        self._shared_status.update(engine_up=False, engine_restarts=self._restarts)
        try:
            self._serve(bundle, _LONGEST_DELAY)
        except SetupError as error:
            self._say(f"OPA cannot be started, next try in {self._delay:g} s: {error}")
        self._next_start = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    def _serve(self, bundle: policy.Bundle, deadline: float) -> Guard:
        started = child.start(self._opa, bundle, decision_log=self._decision_log)
        try:
            guard = probe(OpaAddress(url=f"unix:{started.socket}"), deadline)
            self._lead_to(started)
        except EngineError as error:
            started.stop()
            raise PolicyError(f"the policy gives no complete decision: {error}") from error
        except Exception:
            started.stop()
            raise
        previous, self._running = self._running, started
        self._unhealthy = 0
        self._shared_status.update(engine_up=True)
        if previous is not None:
            previous.stop()
            if previous.bundle.folder != bundle.folder:
                shutil.rmtree(previous.bundle.folder.parent, ignore_errors=True)
        return guard

    def _lead_to(self, opa: child.ChildOpa) -> None:
        """Have the server ask an OPA from now on; raises ``SetupError``."""
        link, new = self._folder / "opa.sock", self._folder / "opa.sock.new"
        try:
            if link.is_symlink() and link.readlink() == opa.socket:
                return
            new.unlink(missing_ok=True)
            new.symlink_to(opa.socket)
            new.replace(link)
        except OSError as error:
            raise SetupError(f"{link} cannot be made: {error.strerror}") from error


class _OperatorsEngine:
    """An OPA that the operator runs: nothing to start, and nothing to stop."""

    def __init__(
        self, opa: OpaSettings, shared_status: SharedStatus, say: Callable[[str], None]
    ) -> None:
        self._opa = opa_address(opa)
        self._shared_status = shared_status
        self._say = say
        self._next_probe = 0.0

    def address(self, settings: Settings) -> OpaAddress:
        return opa_address(settings.opa)

    def start(self, settings: Settings) -> Guard:
        if settings.policy or settings.policies:
            raise SetupError(
                "opa.url is set, so that OPA's bundle holds the policy: take "
                f"{', '.join(settings.policy) or 'policies'} out of the settings and build them "
                "into the bundle with `opa-authz bundle`"
            )
        self._shared_status.update(engine="opa of the operator")
        try:
            guard = probe(self._opa, settings.deadline)
        except EngineError as error:
            self._say(f"every request is denied until OPA decides: {error}")
            return Guard("unknown", f"OPA at {settings.opa.url}", "unknown", 0)
        self._shared_status.update(engine_up=True, **_in_force(guard))
        return guard

    def check(self) -> None:
        """See now and then whether it decides, and by which policy."""
        now = time.monotonic()
        if now < self._next_probe:
            return
        self._next_probe = now + _PROBE_EVERY
        try:
            guard = probe(self._opa, _PROBE_LIMIT)
        except EngineError:
            self._shared_status.update(engine_up=False)
        else:
            changed = self._shared_status.read()["revision"] != guard.revision
            self._shared_status.update(engine_up=True, **(_in_force(guard) if changed else {}))

    def close(self) -> None:
        """Nothing is ours to stop."""


class _Server:
    """gunicorn, in a process of its own."""

    def __init__(self, be_server: Callable[[int], NoReturn]) -> None:
        """Start it. ``be_server`` is given the end of a pipe to write to when it serves."""
        read_end, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(read_end)
            be_server(write_end)
        os.close(write_end)
        self._serving = read_end
        self._ended = False

    def wait_until_serving(self) -> None:
        with open(self._serving, "rb") as serving:  # noqa: PTH123 - a file descriptor
            if not serving.read(1):
                self._ended = True
                os.waitpid(self._pid, 0)
                raise SetupError("the server ended at its start")

    def check(self) -> None:
        if not self._ended and os.waitpid(self._pid, os.WNOHANG)[0] == self._pid:
            self._ended = True
            raise SetupError("the server ended")

    def stop(self) -> None:
        if self._ended:
            return
        os.kill(self._pid, signal.SIGTERM)
        end = time.monotonic() + _STOP_LIMIT
        while os.waitpid(self._pid, os.WNOHANG)[0] != self._pid:
            if time.monotonic() > end:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.02)
        self._ended = True


def _be_server(
    settings: Settings,
    opa: OpaAddress,
    sockets: tuple[socket.socket, socket.socket | None],
    shared_status: SharedStatus,
    serving: int,
) -> NoReturn:
    """Serve dockerd on the first socket, and metrics and health on the second, if there is one."""
    listener, observed = sockets
    os.setsid()  # Ctrl-C in a terminal is for the supervisor, which stops its children in order
    begin_child()
    ping = bool(settings.policy.get("ping", {}).get("without_engine", False))
    journals: list[Journal] = []

    def make_app() -> Flask:
        engine = _engine(settings, opa)
        caches: dict[str, Figures] = {"certificates": certificate_cache}
        if isinstance(engine, CachingEngine):
            caches["decisions"] = engine.figures
        journal = Journal(
            log_options(settings.log),
            audit_options(settings.audit),
            shared_status,
            policy.rule_ids(),
            caches,
        )
        journals.append(journal)
        route_logging(journal.log_event, settings.log.level)
        if observed is not None:
            address.serve(observed, journal)
        authorizer = Authorizer(
            engine,
            host_paths(settings),
            engine_state(settings),
            journal.record,
            finish=journal.finish,
            audit_block=journal.audit_block,
            revoked=_revoked(settings),
            ping_without_engine=ping,
        )
        return create_app(authorizer, journal.metrics.answered)

    def when_serving() -> None:
        with contextlib.suppress(OSError):
            os.write(serving, b"1")

    def when_done() -> None:
        for journal in journals:
            journal.stop()

    status: object = 1
    try:
        server.serve(
            settings.server,
            listener.detach(),
            make_app,
            when_serving,
            when_done,
            deadline=settings.deadline,
        )
    except SystemExit as end:
        status = end.code
    finally:
        os._exit(status if isinstance(status, int) else status is not None)


def _engine(settings: Settings, opa: OpaAddress) -> Engine:
    """OPA, and before our own a memory of what it decided: of another one nobody says when its
    policy changes."""
    engine = OpaEngine(opa, policy.shipped_rules(), settings.deadline)
    if settings.opa.url is not None or settings.opa.decision_log:
        return engine
    return CachingEngine(engine, Path(opa.url.removeprefix("unix:")))


def _revoked(settings: Settings) -> Callable[[], frozenset[str]]:
    return frozenset if settings.identities is None else Revocations(settings.identities).current


def _open_engine(
    settings: Settings, shared_status: SharedStatus, say: Callable[[str], None]
) -> _ChildEngine | _OperatorsEngine:
    if settings.opa.url is not None:
        return _OperatorsEngine(settings.opa, shared_status, say)
    return _ChildEngine(binary.find(settings.opa.binary), shared_status, say)


def _open_metrics(metrics: Metrics, say: Callable[[str], None]) -> socket.socket | None:
    """The socket for metrics and health; raises ``SetupError`` if a chosen one cannot be had."""
    if metrics.listen == "off":
        return None
    try:
        return open_address(metrics.listen)
    except SetupError as error:
        if not metrics.is_default:
            raise
        say(f"metrics and health are not served, name an address of your own: {error}")
        return None


def _shown(metrics: Metrics, observed: socket.socket | None) -> str:
    return "off" if observed is None else f"{metrics.listen} (/metrics, /healthz, /readyz)"


def _in_force(guard: Guard) -> dict[str, Any]:
    return {"profile": guard.profile, "revision": guard.revision, "loaded_at": time.time()}


def _take_over(
    engine: _ChildEngine | _OperatorsEngine,
    running: Settings,
    reload: Callable[[], Settings],
    shared_status: SharedStatus,
    say: Callable[[str], None],
) -> None:
    reloads = shared_status.read()["reloads"]
    try:
        settings, waiting = _as_started(running, reload())
        guard = engine.start(settings)
    except Exception as error:  # noqa: BLE001 - a defect must not end what guards
        reason = error if isinstance(error, AuthzError) else f"a defect, {defect(error)}"
        reloads["refused"] += 1
        shared_status.update(reloads=reloads, reload_successful=False)
        say(f"the new policy is not taken over, the running one stays: {reason}")
    else:
        reloads["taken_over"] += 1
        shared_status.update(reloads=reloads, reload_successful=True)
        say(f"policy revision {guard.revision} of profile {guard.profile} is in force")
        if waiting:
            say(f"{', '.join(waiting)}: changed, and in force only after a restart")


def _as_started(running: Settings, changed: Settings) -> tuple[Settings, list[str]]:
    """Changed settings as far as a running plugin takes them over, and what waits for a restart."""
    kept = {name: getattr(running, name) for name in _AT_START}
    waiting = [name for name, value in kept.items() if getattr(changed, name) != value]
    waiting += ["ping"] if changed.policy.get("ping") != running.policy.get("ping") else []
    return replace(changed, **kept), waiting


def _signals() -> Iterator[int | None]:
    while True:
        received = signal.sigtimedwait(SIGNALS, _TICK)
        yield None if received is None else received.si_signo


def _close_listener(listener: socket.socket) -> None:
    name = listener.getsockname() if listener.family == socket.AF_UNIX else None
    listener.close()
    if isinstance(name, str) and os.environ.get("LISTEN_PID") != str(os.getpid()):
        Path(name).unlink(missing_ok=True)


def _own_folder() -> tuple[Path, int]:
    """A private folder, and the lock that marks it as in use.

    Folders that were left by plugins that were killed are removed.
    """
    home = Path("/run")
    if os.geteuid() != 0:
        home = Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache/opa-authz")
    home.mkdir(parents=True, exist_ok=True)
    for lock_file in home.glob(f"{_FOLDER_PREFIX}*/{_LOCK_NAME}"):
        with contextlib.suppress(OSError):
            os.close(_lock(lock_file))
            shutil.rmtree(lock_file.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{_FOLDER_PREFIX}", dir=home))
    (folder / _LOCK_NAME).touch()
    lock = _lock(folder / _LOCK_NAME)
    return folder.rename(home / folder.name.removeprefix(".")), lock


def _lock(file: Path) -> int:
    """Lock a file until this process ends; raises ``OSError`` if another process has it."""
    lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
