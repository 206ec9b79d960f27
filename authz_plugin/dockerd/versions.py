"""Fields that restrict, and that dockerd drops for a request whose API version is older.

Without this module, such a field would satisfy a rule and have no effect. Other fields stay in the
body whatever the version is: their rules then deny more than dockerd does. Sources: moby 20.10.24
and 28.5.2 ``api/server/router/``, 29 ``daemon/server/router/``: ``swarm/helpers.go``
(adjustForAPIVersion), ``container/container_routes.go`` (postContainersCreate); 29
``daemon/internal/versions/compare.go``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

_SERVICES: Final = frozenset({"service.create", "service.update"})
_DIGITS: Final = 9
"""The digits of a part of a version that are compared; no version of Docker's has as many."""


def drop_newer_fields(operation: str, api_version: str | None, body: Any) -> None:
    """Give such fields of a canonical body the values that dockerd uses.

    ``api_version`` is the version prefix of the path, or None: dockerd then uses its newest one and
    drops nothing.
    """
    if api_version is None or body is None:
        return
    if operation == "container.create" and _is_below(api_version, "1.40"):
        for mount in body["HostConfig"]["Mounts"]:
            if mount["BindOptions"] is not None:
                mount["BindOptions"]["NonRecursive"] = False
    elif operation in _SERVICES:
        _drop_of_service(api_version, body["TaskTemplate"])


def _drop_of_service(api_version: str, template: Any) -> None:
    spec, limits = template["ContainerSpec"], (template["Resources"] or {}).get("Limits")
    if _is_below(api_version, "1.41"):
        if spec is not None:
            spec["CapabilityDrop"] = []
        if limits is not None:
            limits["Pids"] = 0
    if spec is not None and spec["Privileges"] is not None and _is_below(api_version, "1.44"):
        spec["Privileges"]["NoNewPrivileges"] = False


@lru_cache(maxsize=8)  # clients use few versions, and a version may be as long as a target
def _is_below(version: str, other: str) -> bool:
    """Whether dockerd takes a version of digits and dots for an older one than another."""
    parts, others = _numbers(version), _numbers(other)
    others += [0] * (len(parts) - len(others))
    parts += [0] * (len(others) - len(parts))
    return parts < others


def _numbers(version: str) -> list[int]:
    return [int(part.lstrip("0")[:_DIGITS] or 0) for part in version.split(".")]
