"""The status of the policy in force, for messages and metrics, and the probe that determines it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.document import input_document
from authz_plugin.engine import Engine
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.settings import Settings

PutInForce = Callable[[Settings], "PolicyStatus"]
"""Puts the policy of settings in force; raises ``SetupError``, and then the one before stays."""


class PolicyStatus(NamedTuple):
    """The policy in force and the engine that evaluates it.

    ``engine`` and ``metrics`` are descriptions for messages; ``packages`` is the number of rule
    packages that a decision evaluates.
    """

    profile: str
    engine: str
    revision: str
    packages: int
    metrics: str = "off"


def probe(engine: Engine) -> PolicyStatus:
    """Ask an engine for a decision about a ping; the status does not describe the engine.

    Raises ``EngineError`` if the decision is missing or incomplete.
    """
    ping = dockerd.read("GET", "/_ping", {}, b"")
    nobody = Caller("", "", ())
    document = input_document(
        ping, nobody, UnseenHostPaths(), datetime.now(UTC), UnseenEngineState()
    )
    decision = engine.decide(document)
    return PolicyStatus(decision.profile, "", decision.policy_revision, len(decision.evaluated))


def status_facts(status: PolicyStatus) -> dict[str, Any]:
    """The policy's fields of the shared status; ``loaded_at`` is now, in seconds since 1970."""
    return {"profile": status.profile, "revision": status.revision, "loaded_at": time.time()}
