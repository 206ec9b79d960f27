"""The settings as values: one frozen object for each part of the plugin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from authz_plugin.hostpaths import FLEET_FOLDER
from authz_plugin.settings.origins import KeyOrigins


class Server(NamedTuple):
    """The address for dockerd: the unix socket ``socket``, or ``listen`` (TCP with mutual TLS)."""

    socket: Path
    group: str | None = None
    listen: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    threads: int = 128


class OpaSettings(NamedTuple):
    """The OPA that decides: a child process of the plugin, or the one at ``url``."""

    binary: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    decision_log: bool = False


class Receiver(NamedTuple):
    """A service that takes status and decisions."""

    url: str
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    client_key: Path | None = None


class Fleet(NamedTuple):
    """The service that holds the policy of many hosts.

    ``key`` is the PEM file of the public key that bundles are signed by; ``client_key`` belongs to
    ``certificate``; ``interval`` is in seconds; ``folder`` keeps the policy in force. ``status``
    and ``decisions`` say what is uploaded, to ``receiver``, or without it to the same service;
    ``spool`` is in MiB.
    """

    url: str
    bundle: str
    key: Path
    type: str = "http"
    algorithm: str = "RS256"
    labels: Mapping[str, str] = {}
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    client_key: Path | None = None
    region: str | None = None
    credentials: Path | None = None
    interval: int = 30
    folder: Path = FLEET_FOLDER
    status: bool = False
    decisions: bool = False
    spool: int = 64
    receiver: Receiver | None = None

    @property
    def spool_folder(self) -> Path:
        """Where decisions are kept that are not uploaded yet."""
        return self.folder / "decisions"


class Log(NamedTuple):
    """What is logged and how: ``reads`` is a share from 0 to 1, ``queue`` a number of events."""

    level: str = "info"
    format: str = "auto"
    reads: float = 0.0
    queue: int = 10_000


class Audit(NamedTuple):
    """The audit file: ``max_size`` in MiB, ``max_age`` in hours, ``retention`` in days. Members of
    ``group`` may read it."""

    file: Path | None = None
    group: str | None = None
    inputs: bool = False
    sync: str = "interval"
    on_failure: str = "continue"
    max_size: int = 64
    max_age: int = 24
    retention: int = 90
    queue: int = 10_000


class Metrics(NamedTuple):
    """Where metrics and health are served, and to whom. If ``is_default``, failure to open it is no
    error."""

    listen: str = "127.0.0.1:9717"
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    token_file: Path | None = None
    is_default: bool = True


class Settings(NamedTuple):
    """All settings. ``deadline`` is in seconds; ``policy`` is the policy configuration as given,
    ``file`` the settings file if there is one, ``origins`` the places where keys were set, and
    ``warnings`` are messages about old names. Settings are equal if they have the same values from
    the same places."""

    server: Server
    engine: str
    opa: OpaSettings
    deadline: float
    policies: Path | None
    identities: Path | None
    host_paths: str
    data_root: Path | None
    log: Log
    audit: Audit
    metrics: Metrics
    policy: Mapping[str, Any]
    file: Path | None
    fleet: Fleet | None
    origins: KeyOrigins
    warnings: tuple[str, ...] = ()

    @property
    def sees_host(self) -> bool:
        """Whether the plugin shares dockerd's file system (``host_paths: visible``)."""
        return self.host_paths == "visible"
