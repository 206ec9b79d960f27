"""Every thing of dockerd's that a request makes or names, and the filters of a list.

Sources: moby 28.5.2 ``daemon/container.go`` (a leading slash is not part of a name),
``api/types/filters/parse.go`` (FromJSON: lists, or maps to Booleans below API 1.22).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from authz_plugin.dockerd.confinement import Namespace
from authz_plugin.dockerd.connections import Endpoint
from authz_plugin.dockerd.images import first
from authz_plugin.dockerd.mounts import Mount

_FULL_ID: Final = re.compile(r"[0-9a-f]{64}")
_KINDS: Final = frozenset({"config", "container", "network", "secret", "service", "volume"})
_MADE: Final = {
    "config.create": "config",
    "network.create": "network",
    "secret.create": "secret",
    "service.create": "service",
    "volume.create": "volume",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A thing that a request makes (``use`` is ``make``) or works on (``use``).

    ``name`` is without a leading slash; empty for a thing that is made and gets a random name.
    ``full_id`` says that it is a whole id, which nobody guesses.
    """

    kind: str
    name: str
    use: Literal["make", "use"]
    full_id: bool
    field: str


def read_references(
    operation: str,
    kind: str | None,
    ref: str | None,
    body: Any,
    query: Mapping[str, tuple[str, ...]],
    *,
    mounts: tuple[Mount, ...],
    namespaces: tuple[Namespace, ...],
    endpoints: tuple[Endpoint, ...],
) -> list[Reference]:
    """All references of a request; networks that are joined are endpoints instead."""
    found = list(_in_body(operation, body, query))
    if kind in _KINDS and operation != "network.connect":
        found.append(_reference(kind, ref or "", "path"))
    found += [
        _reference("volume", mount.source, mount.field)
        for mount in mounts
        if mount.type in {"volume", "cluster"} and mount.source and operation != "volume.create"
    ]
    found += [
        _reference("container", namespace.container, namespace.field)
        for namespace in namespaces
        if namespace.container is not None
    ]
    found += [
        _reference("container", link.partition(":")[0], endpoint.field)
        for endpoint in endpoints
        for link in endpoint.links
    ]
    return found


def read_filters(query: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """The filters of a list, each with its values; empty where dockerd could not read them."""
    try:
        filters = json.loads(first(query, "filters") or "{}", object_pairs_hook=_unique)
        json.dumps(filters, ensure_ascii=False).encode()  # fails on a lone surrogate
    except (ValueError, RecursionError):
        return {}
    if not isinstance(filters, dict):
        return {}
    return {name: _values(values) for name, values in filters.items()}


def _in_body(
    operation: str, body: Any, query: Mapping[str, tuple[str, ...]]
) -> Iterator[Reference]:
    match operation:
        case "container.create":
            yield _reference("container", first(query, "name"), "query.name", "make")
            for i, source in enumerate(body["HostConfig"]["VolumesFrom"]):
                field = f"HostConfig.VolumesFrom[{i}]"
                yield _reference("container", source.partition(":")[0], field)
        case "container.rename":
            yield _reference("container", first(query, "name"), "query.name", "make")
        case "container.commit":
            yield _reference("container", first(query, "container"), "query.container")
        case "network.connect" | "network.disconnect":
            yield _reference("container", body["Container"], "Container")
        case "service.update":
            yield _reference("service", body["Name"], "Name")
        case _ if operation in _MADE:
            yield _reference(_MADE[operation], body["Name"], "Name", "make")
    if operation in {"service.create", "service.update"}:
        yield from _of_service(body["TaskTemplate"]["ContainerSpec"])


def _of_service(spec: Any) -> Iterator[Reference]:
    if spec is None:
        return
    for kind, entries in (("secret", spec["Secrets"]), ("config", spec["Configs"])):
        title = kind.capitalize()
        for i, entry in enumerate(entries):
            if entry is not None:
                field = f"TaskTemplate.ContainerSpec.{title}s[{i}].{title}"
                yield _reference(kind, entry[f"{title}Name"], f"{field}Name")
                yield _reference(kind, entry[f"{title}ID"], f"{field}ID")


def _reference(kind: str, name: str, field: str, use: Literal["make", "use"] = "use") -> Reference:
    name = name.removeprefix("/")
    return Reference(kind, name, use, _FULL_ID.fullmatch(name) is not None, field)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is given twice")
    return made


def _values(values: Any) -> list[str]:
    """Lists hold values, maps of the old form have them as keys."""
    if isinstance(values, dict):
        return [value for value, chosen in values.items() if chosen is True]
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
