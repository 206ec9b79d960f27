"""Where the policy comes from: the settings of this host, or the service of a fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from authz_plugin.errors import SetupError
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Settings
from authz_plugin.supervisor.engines import ForkServer, Started, start_engine
from authz_plugin.supervisor.policy_status import PutInForce


class PolicySource(Protocol):
    """Where a running plugin's policy comes from."""

    @property
    def has_policy(self) -> bool:
        """Whether there is a policy."""

    def applied(self, settings: Settings) -> Settings:
        """The settings of this host with the policy; raises ``SetupError`` if there is none."""

    def in_force(self) -> None:
        """Note that the policy to start with is in force."""

    def refuse(self, error: Exception) -> None:
        """Note that the policy to start with cannot be put in force, or raise the error."""

    def check(self, settings: Settings, put_in_force: PutInForce) -> None:
        """Put a newer policy in force; called several times a second."""

    def close(self) -> None:
        """Release what the source uses."""


class LocalPolicy:
    """The policy in the settings of this host. SIGHUP takes over what has changed."""

    has_policy = True

    def applied(self, settings: Settings) -> Settings:
        return settings

    def in_force(self) -> None:
        """Do nothing."""

    def refuse(self, error: Exception) -> None:
        raise error

    def check(self, settings: Settings, put_in_force: PutInForce) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def open_policy_source(
    settings: Settings, shared_status: SharedStatus, say: Callable[[str], None]
) -> PolicySource:
    """The source that the settings name; raises ``SetupError``."""
    if settings.fleet is None:
        return LocalPolicy()
    from authz_plugin.supervisor.fleet import FleetPolicies  # noqa: PLC0415 - not without a fleet

    return FleetPolicies.start(settings, settings.fleet, shared_status, say)


def start_with(
    source: PolicySource,
    settings: Settings,
    shared_status: SharedStatus,
    say: Callable[[str], None],
    fork_server: ForkServer,
) -> Started:
    """Start the engine with the policy of a source.

    Without a policy, or if that of a fleet is refused, every request is denied. Raises
    ``SetupError``.
    """
    if source.has_policy:
        try:
            applied = source.applied(settings)
            started = start_engine(applied, shared_status, say, fork_server)
        except SetupError as error:
            source.refuse(error)
        else:
            source.in_force()
            return started
    return start_engine(settings, shared_status, say, fork_server, has_policy=False)
