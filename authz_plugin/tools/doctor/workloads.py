"""Checks of the containers that run: the policy in force did not decide on their creation."""

from __future__ import annotations

import http
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from authz_plugin.tools.docker_client import Endpoint, Request, exchange
from authz_plugin.tools.doctor.finding import Finding

_SOCKETS: Final = frozenset(
    {
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/docker-engine",
        "/run/docker-engine/docker.sock",
    }
)
_PARENT_FOLDERS: Final = frozenset({"/", "/run", "/var", "/var/run"})
_RISKS: Final[Mapping[str, tuple[str, str]]] = {
    "privileged": ("containers.privileged", "is privileged"),
    "root": ("containers.host-root", "has the host's root or run directory"),
    "socket": ("containers.docker-socket", "has the Docker socket"),
    "namespaces": ("containers.host-namespace", "is in a namespace of the host"),
}
_NAMESPACES: Final = ("IpcMode", "NetworkMode", "PidMode", "UTSMode", "UsernsMode")


def check_workloads(endpoint: Endpoint) -> Iterator[Finding]:
    """List and inspect the running containers; raises ``EndpointError`` without an answer."""
    reply = exchange(endpoint, Request("GET", "/containers/json"))
    if reply.status != http.HTTPStatus.OK:
        yield _unseen(reply.message)
        return
    found: dict[str, list[str]] = {"privileged": [], "socket": [], "root": [], "namespaces": []}
    for listed in reply.json():
        inspected = exchange(endpoint, Request("GET", f"/containers/{quote(listed['Id'])}/json"))
        if inspected.status == http.HTTPStatus.NOT_FOUND:
            continue  # gone meanwhile
        if inspected.status != http.HTTPStatus.OK:
            yield _unseen(inspected.message)
            return
        container = inspected.json()
        name = str(container.get("Name", "")).lstrip("/")
        for risk in _risks(container, endpoint):
            found[risk].append(name)
    yield from _findings(found)


def _risks(container: Mapping[str, Any], endpoint: Endpoint) -> Iterator[str]:
    host = container.get("HostConfig") or {}
    sources = {mount.get("Source") for mount in container.get("Mounts") or []}
    if host.get("Privileged"):
        yield "privileged"
    if sources & (_SOCKETS | {str(endpoint.unix)}):
        yield "socket"
    if sources & _PARENT_FOLDERS:
        yield "root"
    if any(host.get(field) == "host" for field in _NAMESPACES):
        yield "namespaces"


def _findings(found: Mapping[str, list[str]]) -> Iterator[Finding]:
    again = "it was made before the policy, or without it, and stays as it is"
    for risk, names in found.items():
        if not names:
            id_, what = _RISKS[risk]
            yield Finding(id_, "ok", f"no running container {what}")
    if found["privileged"]:
        yield Finding(
            "containers.privileged",
            "critical",
            f"running privileged: {', '.join(found['privileged'])}",
            f"a privileged container is root on this host; {again}",
            "make it again without --privileged",
        )
    if found["root"]:
        yield Finding(
            "containers.host-root",
            "critical",
            f"running with the host's root or run directory mounted: {', '.join(found['root'])}",
            f"it can write what guards this host, or reach every socket; {again}",
            "make it again with the folders that it needs alone",
        )
    if found["socket"]:
        yield Finding(
            "containers.docker-socket",
            "warning",
            f"running with the Docker socket: {', '.join(found['socket'])}",
            "who gets in there may ask dockerd for what the policy allows; read-only makes no "
            "difference to a socket",
            "give it TLS and a role of its own, or take the socket away",
        )
    if found["namespaces"]:
        yield Finding(
            "containers.host-namespace",
            "warning",
            f"running in a namespace of the host: {', '.join(found['namespaces'])}",
            f"it sees the host's processes, network or memory; {again}",
            "make it again in namespaces of its own",
        )


def _unseen(message: str) -> Finding:
    return Finding(
        "containers",
        "info",
        "running containers could not be looked at",
        f"dockerd says: {message[:200]}",
        "run doctor as a caller that may list and inspect containers",
    )
