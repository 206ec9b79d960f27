"""The input document of the policies: the facts of one request.

Version 1, described by ``policies/schemas/input.json``. Every key of the schema is present, with an
empty value or null if there is nothing, so that no denial is undefined because a key is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from authz_plugin import renamed
from authz_plugin.caller import Caller
from authz_plugin.dockerd import CanonicalRequest, Mount
from authz_plugin.dockerd.mounts import (
    ContainerUse,
    is_named_volume,
    stored_mount,
    stored_volume,
    unknown_mount,
)
from authz_plugin.enginestate import EngineState, Unknown
from authz_plugin.hostpaths import HostPaths, Resolution

VERSION: Final = 1

_NO_PATH: Final = Resolution(None, exists=False)

_FORCING: Final = (1, 44)
"""The API version since which dockerd honours ReadOnlyForceRecursive: it refuses a bind that it
cannot make read-only recursively."""


def input_document(
    request: CanonicalRequest,
    caller: Caller,
    host_paths: HostPaths,
    now: datetime,
    engine_state: EngineState,
) -> dict[str, Any]:
    """The input document of a request; ``now`` is the time with which exceptions are compared.

    If dockerd's state is not accessible, ``mounts`` contains only the mounts in the request.
    """
    operation = request.operation
    resource = None if request.ref is None else {"kind": operation.kind, "ref": request.ref}
    confinement, workload = request.confinement, request.workload
    document = {
        "version": VERSION,
        "phase": "request",
        "time": now.isoformat(timespec="milliseconds"),
        "caller": _caller(caller),
        "request": {
            "method": request.method,
            "uri": request.uri,
            "path": request.path,
            "api_version": request.api_version,
            "query": request.query,
            "query_authoritative": request.query_authoritative,
            "headers": request.headers,
            "unknown_fields": request.unknown_fields,
        },
        "operation": {
            "id": operation.id,
            "section": operation.section,
            "access": operation.access,
            "resource": resource,
        },
        "body": request.body,
        "body_state": request.body_state,
        "mounts": [
            _mount(mount, host_paths, request.api_version)
            for mount in _all_mounts(request, engine_state)
        ],
        "capabilities": _all_facts(confinement.capabilities),
        "namespaces": _all_facts(confinement.namespaces),
        "security_options": _all_facts(confinement.security_options),
        "users": _all_facts(workload.users),
        "limits": _all_facts(workload.limits),
        "ulimits": _all_facts(workload.ulimits),
        "sysctls": _all_facts(workload.sysctls),
        "tmpfs": _all_facts(workload.tmpfs),
        "log_drivers": _all_facts(workload.log_drivers),
        "hardening": None if workload.hardening is None else workload.hardening._asdict(),
        "restart": None if workload.restart is None else workload.restart._asdict(),
        "environment": workload.environment,
        "images": _all_facts(request.images),
        "ports": _all_facts(request.ports),
        "endpoints": _all_facts(request.endpoints),
        "hosts": _all_facts(request.hosts),
        "references": _all_facts(request.references),
        "filters": request.filters,
        "label_filters": _all_facts(request.label_filters),
        "labels": _all_facts(request.labels),
    }
    return renamed.with_old_input_keys(document)


def _all_facts(records: Sequence[Any]) -> list[dict[str, Any]]:
    """The fields of each of some named tuples, whose values are JSON."""
    return [record._asdict() for record in records]


def _caller(caller: Caller) -> dict[str, Any]:
    return {
        "user": caller.user,
        "method": caller.method,
        "revoked": caller.revoked,
        "certificates": [
            {
                "subject": {
                    "CN": certificate.common_name,
                    "O": certificate.organizations,
                    "OU": certificate.organizational_units,
                },
                "sans": certificate.sans,
                "sha256": certificate.sha256,
                "not_after": certificate.not_after,
            }
            for certificate in caller.certificates
        ],
    }


def _all_mounts(request: CanonicalRequest, state: EngineState) -> Iterator[Mount]:
    """The mounts in a request, and those of the volumes and containers that it uses."""
    yield from request.mounts
    if state.is_seen:
        for mount in request.mounts:
            yield from _of_volume(mount, state, "volume")
    for use in request.container_uses:
        if state.is_seen or use.is_taken_over:
            yield from _of_container(use, state)


def _of_container(use: ContainerUse, state: EngineState) -> Iterator[Mount]:
    try:
        found = [stored_mount(point, use) for point in state.mount_points(use.reference)]
    except (Unknown, TypeError, ValueError, OSError) as problem:
        yield unknown_mount(use.field, str(problem), taken_over=use.is_taken_over)
        return
    yield from found
    for mount in found:
        yield from _of_volume(mount, state, mount.origin)


def _of_volume(
    mount: Mount, state: EngineState, origin: Literal["request", "volume", "container"]
) -> Iterator[Mount]:
    """The mounts that the stored options of a named volume describe, if it has any."""
    if not is_named_volume(mount):
        return
    try:
        found = [stored_volume(mount, options) for options in state.volume_options(mount.volume)]
    except (Unknown, TypeError, ValueError, OSError) as problem:
        found = [mount._replace(type="unknown", source=str(problem), path=None)]
    for volume in found:
        yield volume._replace(origin=origin)


def _mount(mount: Mount, host_paths: HostPaths, api_version: str | None) -> dict[str, Any]:
    resolution = _NO_PATH if mount.path is None else host_paths.resolve(mount.path)
    return {
        "type": mount.type,
        "source": mount.source,
        "path": mount.path,
        "resolved": resolution.resolved,
        "exists": resolution.exists,
        "target": mount.target,
        "read_only": mount.read_only,
        "submounts": _submounts(mount, resolution, host_paths, api_version),
        "propagation": mount.propagation,
        "driver": mount.driver,
        "options": mount.options,
        "volume": mount.volume,
        "origin": mount.origin,
        "field": mount.field,
    }


def _submounts(
    mount: Mount, resolution: Resolution, host_paths: HostPaths, api_version: str | None
) -> str:
    """How the container can access mounts below a bind's source: none, read-only or writable.

    With a read-only bind dockerd makes them read-only if engine, API version and kernel are new
    enough, and otherwise leaves them writable without an error, unless the request has
    ReadOnlyForceRecursive (moby 28.5.2 ``daemon/oci_linux.go`` withMounts).
    """
    if mount.type != "bind" or not mount.recursive:
        return "none"
    if not mount.read_only:
        return "writable"
    if mount.force_read_only and _is_at_least(api_version, _FORCING):
        return "read-only"
    holds = None if resolution.resolved is None else host_paths.holds_mounts(resolution.resolved)
    return "none" if holds is False else "writable"


def _is_at_least(api_version: str | None, least: tuple[int, int]) -> bool:
    """Whether the version prefix is at least ``least``. False without a prefix: dockerd then uses
    its own newest version, which is not known."""
    major, _, minor = (api_version or "").partition(".")
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= least
