"""The processes of a running plugin: the supervisor, gunicorn and OPA."""

from __future__ import annotations

from authz_plugin.supervisor.policy_status import PolicyStatus
from authz_plugin.supervisor.run import run

__all__ = ["PolicyStatus", "run"]
