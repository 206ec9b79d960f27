"""What answers dockerd: gunicorn with the authorizer and its journal.

Only the process of gunicorn imports this module, after it was forked: the supervisor needs nothing
of it.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
from collections.abc import Callable
from typing import NoReturn

from authz_plugin import policy, server
from authz_plugin.authorizer import Authorizer
from authz_plugin.caller import certificate_cache
from authz_plugin.endpoints import Endpoints
from authz_plugin.engine.cache import CachingEngine
from authz_plugin.enginestate import engine_state
from authz_plugin.hostpaths import host_paths
from authz_plugin.journal import address
from authz_plugin.journal.audit import AuditOptions
from authz_plugin.journal.journal import Journal
from authz_plugin.journal.log import LogOptions, route_logging
from authz_plugin.journal.metrics import Figures
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.journal.spool import SpoolOptions
from authz_plugin.processes import share_heap
from authz_plugin.revocations import Revocations
from authz_plugin.settings import Audit, Fleet, Log, Server, Settings
from authz_plugin.supervisor import waits
from authz_plugin.supervisor.engines import SupervisedEngine
from authz_plugin.supervisor.gunicorn_process import receive_sockets
from authz_plugin.supervisor.metrics_socket import scrape


def serve_plugin(
    settings: Settings,
    supervised: SupervisedEngine,
    supervisor: socket.socket,
    shared_status: SharedStatus,
) -> NoReturn:
    """Answer dockerd, and metrics and health, on the sockets that the supervisor gives.

    Runs in the forked process. ``supervisor`` is the connection to the supervisor, to which a byte
    is written as soon as requests are answered.
    """
    share_heap()
    listener, *metrics = receive_sockets(supervisor)
    scrapes = [scrape(settings.metrics, one) for one in metrics]
    ping = bool(settings.policy.get("ping", {}).get("without_engine", False))
    journals: list[Journal] = []

    def make_endpoints(before_waiting: waits.Warn) -> Endpoints:
        engine = supervised.open_in_server(settings, before_waiting)
        caches: dict[str, Figures] = {"certificates": certificate_cache}
        if isinstance(engine, CachingEngine):
            caches["decisions"] = engine.figures
        journal = Journal(
            log_options(settings.log),
            audit_options(settings.audit),
            shared_status,
            policy.rule_ids(),
            caches,
            spool=spool_options(settings.fleet),
        )
        journals.append(journal)
        route_logging(journal.log_event, settings.log.level)
        for one in scrapes:
            address.serve(one, journal)
        authorizer = Authorizer(
            engine,
            waits.WaitingHostPaths(host_paths(visible=settings.sees_host), before_waiting),
            waits.WaitingEngineState(
                engine_state(settings.data_root, visible=settings.sees_host), before_waiting
            ),
            journal.record,
            finish=journal.finish,
            audit_block=journal.audit_block,
            revoked=_revoked(settings),
            ping_without_engine=ping,
            engine_name=supervised.name,
        )
        return Endpoints(authorizer, journal.metrics.answered)

    def when_serving() -> None:
        with contextlib.suppress(OSError):
            supervisor.send(b"1")

    def when_done() -> None:
        for journal in journals:
            journal.stop()

    status: object = 1
    try:
        server.serve(
            listener.detach(),
            make_endpoints,
            when_serving,
            when_done,
            threads=settings.server.threads,
            tls=_tls(settings.server),
            deadline=settings.deadline,
        )
    except SystemExit as end:
        status = end.code
    finally:
        os._exit(status if isinstance(status, int) else status is not None)


def _tls(listens: Server) -> server.Tls | None:
    """The files of mutual TLS, or None for a unix socket. ``settings.load`` has checked them."""
    if listens.listen is None:
        return None
    assert listens.certificate is not None
    assert listens.key is not None
    assert listens.client_ca is not None
    return server.Tls(listens.certificate, listens.key, listens.client_ca)


def log_options(log: Log) -> LogOptions:
    """The options of the log under these settings."""
    return LogOptions(log.level, log.format, log.reads, log.queue)


def audit_options(audit: Audit) -> AuditOptions | None:
    """The options of the audit file under these settings, or None without an audit file.

    ``supervisor.run`` has checked that there is the group.
    """
    if audit.file is None:
        return None
    return AuditOptions(
        file=audit.file,
        readers=None if audit.group is None else grp.getgrnam(audit.group).gr_gid,
        sync=audit.sync,
        max_size=audit.max_size,
        max_age=audit.max_age,
        retention=audit.retention,
        queue=audit.queue,
        inputs=audit.inputs,
        deny_on_failure=audit.on_failure == "deny",
    )


def spool_options(fleet: Fleet | None) -> SpoolOptions | None:
    """The options of the spool under these settings, or None if decisions are not uploaded."""
    if fleet is None or not fleet.decisions:
        return None
    return SpoolOptions(fleet.spool_folder, fleet.spool << 20)


def _revoked(settings: Settings) -> Callable[[], frozenset[str]]:
    """A function that returns the fingerprints of the currently revoked certificates."""
    return frozenset if settings.identities is None else Revocations(settings.identities).current
