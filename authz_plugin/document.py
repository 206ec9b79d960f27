"""The input document: the facts of one request, as the policies see them.

Version 1, described by ``policies/schemas/input.json``. It is total: every key of the schema is
there, empty or null but never missing, so that a rule cannot fail to fire because a key is absent.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from authz_plugin.caller import Caller
from authz_plugin.dockerd import CanonicalRequest, Mount
from authz_plugin.hostpaths import HostPaths, Resolution

VERSION: Final = 1

_NO_PATH: Final = Resolution(None, exists=False)


def input_document(
    request: CanonicalRequest, caller: Caller, host_paths: HostPaths, now: datetime
) -> dict[str, Any]:
    """The input document of a request; ``now`` is the time that the decision counts from."""
    operation = request.operation
    resource = None if request.ref is None else {"kind": operation.kind, "ref": request.ref}
    confinement, workload = request.confinement, request.workload
    return {
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
            "known": True,
        },
        "body": request.body,
        "body_state": request.body_state,
        "mounts": [_mount(mount, host_paths) for mount in request.mounts],
        "capabilities": [asdict(capability) for capability in confinement.capabilities],
        "namespaces": [asdict(namespace) for namespace in confinement.namespaces],
        "security_options": [asdict(option) for option in confinement.security_options],
        "users": [asdict(user) for user in workload.users],
        "limits": [asdict(limit) for limit in workload.limits],
        "ulimits": [asdict(ulimit) for ulimit in workload.ulimits],
        "sysctls": [asdict(sysctl) for sysctl in workload.sysctls],
        "tmpfs": [asdict(mount) for mount in workload.tmpfs],
        "log_drivers": [asdict(driver) for driver in workload.log_drivers],
        "walls": None if workload.walls is None else asdict(workload.walls),
        "images": [asdict(image) for image in request.images],
        "ports": [asdict(port) for port in request.ports],
        "endpoints": [asdict(endpoint) for endpoint in request.endpoints],
        "hosts": [asdict(host) for host in request.hosts],
        "references": [asdict(reference) for reference in request.references],
        "filters": request.filters,
    }


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


def _mount(mount: Mount, host_paths: HostPaths) -> dict[str, Any]:
    resolution = _NO_PATH if mount.path is None else host_paths.resolve(mount.path)
    return {
        "type": mount.type,
        "source": mount.source,
        "path": mount.path,
        "resolved": resolution.resolved,
        "exists": resolution.exists,
        "target": mount.target,
        "read_only": mount.read_only,
        "propagation": mount.propagation,
        "driver": mount.driver,
        "options": mount.options,
        "field": mount.field,
    }
