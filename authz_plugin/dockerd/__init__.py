"""What dockerd will do with a request, as a function of the request. Other packages call ``read``.

The functions are pure: they use no file, socket, clock or log, so that the same request always
gives the same result. A request that engines could interpret differently is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeVar

from authz_plugin.dockerd import bodies, routes
from authz_plugin.dockerd.confinement import Confinement
from authz_plugin.dockerd.connections import Endpoint, Host, Port
from authz_plugin.dockerd.images import Image
from authz_plugin.dockerd.labels import Label
from authz_plugin.dockerd.mounts import ContainerUse, Mount
from authz_plugin.dockerd.parts import Parts
from authz_plugin.dockerd.references import (
    Found,
    LabelFilter,
    Reference,
    read_filters,
    read_label_filters,
)
from authz_plugin.dockerd.routes import Operation
from authz_plugin.dockerd.uri import read_target
from authz_plugin.dockerd.versions import drop_newer_fields
from authz_plugin.dockerd.workload import Workload, with_networks_and_volumes
from authz_plugin.errors import Refused

__all__ = ["CanonicalRequest", "Confinement", "Mount", "Operation", "read"]

_Fact = TypeVar("_Fact")


class CanonicalRequest(NamedTuple):
    """A request, as dockerd will interpret it.

    ``path`` is decoded and without version prefix; ``ref`` is the name or id in the path; ``body``
    is the canonical body (see ``gojson``) or None; ``body_state`` is "none" (the operation reads
    no body), "present" or "invisible" (a stream); ``query_authoritative`` is False if the request
    could carry a form body, whose parameters override the query and are not sent to the plugin;
    ``unknown_fields`` are body fields that no supported engine reads; ``container_uses`` are the
    containers whose mounts dockerd uses.
    """

    method: str
    uri: str
    path: str
    api_version: str | None
    query: dict[str, tuple[str, ...]]
    query_authoritative: bool
    headers: dict[str, str]
    operation: Operation
    ref: str | None
    body: Any
    body_state: Literal["none", "present", "invisible"]
    unknown_fields: tuple[str, ...]
    mounts: tuple[Mount, ...]
    container_uses: tuple[ContainerUse, ...]
    confinement: Confinement
    workload: Workload
    images: tuple[Image, ...]
    ports: tuple[Port, ...]
    endpoints: tuple[Endpoint, ...]
    hosts: tuple[Host, ...]
    references: tuple[Reference, ...]
    filters: dict[str, list[str]]
    label_filters: tuple[LabelFilter, ...]
    labels: tuple[Label, ...]


def read(method: str, uri: str, headers: dict[str, str], body: bytes) -> CanonicalRequest:
    """Read a request as dockerd sends it to a plugin; raises ``Refused`` (``request.*``).

    ``uri`` is the raw request target, ``headers`` have lower-case names, ``body`` is empty if the
    request has none or dockerd does not send it to plugins.
    """
    target = read_target(uri)
    matched = routes.match(method, target.path, target.query)
    operation = matched.operation
    for name, values in target.query.items():
        if len(values) > 1 and name not in operation.lists and name not in operation.body_fields:
            raise Refused(
                "request.query",
                f"query.{name}",
                f"parameter {name} is given {len(values)} times, dockerd reads the first only",
                "give it once",
            )
    content = bodies.read_body(method, operation, headers, body)
    drop_newer_fields(operation.id, target.api_version, content.body)
    readers, query = operation.readers, target.query
    parts = Parts(operation.kind, matched.ref or "", content.body, query)
    mounts = _facts(readers.mounts, parts)
    confinement = Confinement() if readers.confinement is None else readers.confinement(parts)
    endpoints = _facts(readers.endpoints, parts)
    workload = Workload()
    if readers.workload is not None:
        workload = readers.workload(parts, confinement.security_options)
    if endpoints or mounts:
        workload = with_networks_and_volumes(workload, endpoints, mounts)
    filters = read_filters(query)
    found = Found(mounts, confinement.namespaces, endpoints, filters)
    return CanonicalRequest(
        method=method,
        uri=uri,
        path=target.path,
        api_version=target.api_version,
        query=query,
        query_authoritative=content.query_authoritative,
        headers=headers,
        operation=operation,
        ref=matched.ref,
        body=content.body,
        body_state=content.state,
        unknown_fields=content.unknown_fields,
        mounts=mounts,
        container_uses=_facts(readers.container_uses, parts),
        confinement=confinement,
        workload=workload,
        images=_facts(readers.images, parts),
        ports=_facts(readers.ports, parts),
        endpoints=endpoints,
        hosts=_facts(readers.hosts, parts),
        references=tuple(readers.references(parts, found)),
        filters=filters,
        label_filters=tuple(read_label_filters(filters)) if filters else (),
        labels=_facts(readers.labels, parts),
    )


def _facts(reader: Callable[[Parts], Iterable[_Fact]] | None, parts: Parts) -> tuple[_Fact, ...]:
    return () if reader is None else tuple(reader(parts))
