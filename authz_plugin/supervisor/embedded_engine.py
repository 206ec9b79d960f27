"""The embedded engine: the policy is compiled and checked here and evaluated in the server.

A child process checks it, so that what that takes leaves no memory in the supervisor. What that
process and the server both import, the supervisor imports before it forks them: they share it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from authz_plugin import policy
from authz_plugin.engine import Engine, binary
from authz_plugin.engine.cache import CachingEngine
from authz_plugin.engine.compiled import find_compiled
from authz_plugin.engine.embedded import EmbeddedEngine, prepare
from authz_plugin.errors import (
    EngineError,
    EngineSetupError,
    PolicyError,
    SetupError,
    UnsupportedBuiltinsError,
)
from authz_plugin.hostpaths import cache_home, host_paths
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.processes import in_child
from authz_plugin.settings import Settings
from authz_plugin.supervisor.policy_status import PolicyStatus, probe, status_facts
from authz_plugin.supervisor.runtime_folder import open_runtime_folder, policy_folder
from authz_plugin.supervisor.waits import Warn

_LIMIT: Final = 60.0
"""Seconds for compiling and checking a policy."""


class Embedded:
    """The embedded engine of a plugin.

    Each policy has its own folder. ``policy`` in the runtime folder is a symbolic link to that of
    the policy in force. It is changed to a new folder after the new policy has given a complete
    decision.
    """

    name = "embedded"

    def __init__(self, shared_status: SharedStatus) -> None:
        self._shared_status = shared_status
        self._folder, self._lock = open_runtime_folder()
        self._generation = 0
        self._current: Path | None = None

    def start(self, settings: Settings) -> PolicyStatus:
        """Put the policy of these settings in force.

        Raises ``SetupError`` if it cannot be evaluated; then the previous policy stays in force.
        """
        self._generation += 1
        home = self._folder / str(self._generation)
        try:
            with policy_folder(home, lambda folder: folder == self._current) as folder:
                return self._start_in(folder, settings)
        except UnsupportedBuiltinsError as error:
            if self._current is None:
                raise
            raise PolicyError(f"{error}: start the plugin again with engine opa") from error

    def open_in_server(self, settings: Settings, warn: Warn) -> Engine:
        link = self._folder / "policy"
        engine = EmbeddedEngine(link, policy.shipped_rules(), settings.deadline, warn)
        if link.is_symlink():
            engine.load()
        return CachingEngine(engine, engine.in_force)

    def check(self) -> None:
        """Restore the link to the policy if it was removed; raises ``SetupError`` if the policy
        itself was, which ends the plugin."""
        if self._current is None or (self._folder / "policy").is_dir():
            return
        if not self._current.is_dir():
            raise SetupError(f"{self._current} was removed: start the plugin again")
        try:
            self._link(self._current)
        except OSError as error:
            raise SetupError(f"{self._folder}/policy cannot be made: {error.strerror}") from error

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def _start_in(self, folder: Path, settings: Settings) -> PolicyStatus:
        config = policy.configuration(settings, host_paths(visible=settings.sees_host))
        _, status = prepare_policy(settings, config, folder)
        custom = policy.rule_ids(settings.policies) if settings.policies else ()
        ends = [datetime.fromisoformat(item["until"]) for item in config["exceptions"]]
        self._put_in_force(folder)
        self._shared_status.update(
            **status_facts(status),
            engine="embedded",
            engine_up=True,
            custom_rules=sorted(custom),
            exceptions=[end.timestamp() for end in ends],
        )
        return status

    def _link(self, folder: Path) -> None:
        new = self._folder / "policy.new"
        new.unlink(missing_ok=True)
        new.symlink_to(folder)
        new.replace(self._folder / "policy")

    def _put_in_force(self, folder: Path) -> None:
        self._link(folder)
        previous, self._current = self._current, folder
        if previous is not None:
            shutil.rmtree(previous, ignore_errors=True)


def prepare_policy(
    settings: Settings, config: Mapping[str, Any], folder: Path
) -> tuple[policy.Bundle, PolicyStatus]:
    """Write the policy of these settings and its compiled form into a folder, and have it decide.

    ``config`` is the policy's configuration. Raises ``SetupError`` if it cannot be evaluated.
    """
    opa = binary.OpaWhenNeeded(settings.opa.binary)
    if settings.opa.binary is not None:
        opa.find()  # a mistake in the settings is told even if no OPA is needed
    bundle = policy.assemble(folder / "bundle", config, settings.policies, opa)
    try:
        status = in_child(lambda: _prepare(folder, bundle, opa, settings.deadline), _LIMIT)
    except (TimeoutError, ChildProcessError) as error:
        raise EngineSetupError(f"the policy cannot be compiled: {error}") from error
    return bundle, status


def _prepare(
    folder: Path, bundle: policy.Bundle, opa: binary.OpaWhenNeeded, deadline: float
) -> PolicyStatus:
    """Write the compiled policy into a folder and have it decide; runs in a child process."""
    cache = cache_home(os.environ, root=os.geteuid() == 0)
    compiled = find_compiled(bundle.folder, policy.SHIPPED / "compiled", cache, opa.find)
    prepare(compiled, bundle.folder, folder, cache)
    link = folder / "itself"
    link.symlink_to(folder)
    try:
        with closing(EmbeddedEngine(link, bundle.packages, deadline)) as engine:
            status = probe(engine)
    except EngineError as error:
        raise PolicyError(f"the policy gives no complete decision: {error}") from error
    return status._replace(engine="embedded: compiled by OPA to WebAssembly, run in this process")
