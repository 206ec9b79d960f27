"""Every thing of dockerd's that a request makes or names, and the filters of a list.

Sources: moby 28.5.2 ``daemon/container.go`` (a leading slash is not part of a name),
``api/types/filters/parse.go`` (FromJSON: lists, or maps to Booleans, whose values MatchKVList and
Get do not look at), ``daemon/list.go`` (the filters before and since name containers),
``daemon/cluster/utils.go`` (convertKVStringsToMap: of several values for one label the last one
counts, and their order is that of a Go map).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from authz_plugin.dockerd.confinement import Namespace
from authz_plugin.dockerd.connections import Endpoint
from authz_plugin.dockerd.ids import is_whole_id, may_be_id
from authz_plugin.dockerd.images import first
from authz_plugin.dockerd.mounts import Mount, task_mount

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
    ``full_id`` says that it is a whole id of its kind, which nobody guesses, ``may_be_id`` that
    dockerd may take it for an id or the beginning of one.
    """

    kind: str
    name: str
    use: Literal["make", "use"]
    full_id: bool
    may_be_id: bool
    field: str


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """A label that a list is filtered by: ``value`` is None where the label alone is asked for,
    ``excluded`` says that it is one that things must not have (``label!``)."""

    name: str
    value: str | None
    excluded: bool


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
        _reference("volume", mount.source, mount.field, by_id=False)
        for mount in mounts
        if mount.type in {"volume", "cluster"} and mount.source and operation != "volume.create"
    ]
    volumes = {reference.name for reference in found if reference.kind == "volume"}
    found += [volume for volume in _behind_binds(operation, body) if volume.name not in volumes]
    if operation == "container.list":
        found += _in_list(query)
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


def read_label_filters(filters: Mapping[str, list[str]]) -> list[LabelFilter]:
    """The labels among the filters of a list, in their order."""
    found = []
    for key, excluded in (("label", False), ("label!", True)):
        for text in filters.get(key, []):
            name, equals, value = text.partition("=")
            found.append(LabelFilter(name, value if equals else None, excluded))
    return found


def _behind_binds(operation: str, body: Any) -> Iterator[Reference]:
    """Named volumes whose driver options bind a path: if the volume is there, dockerd takes it as
    it is, and passes the options over (moby 28.5.2 ``volume/service/store.go`` create)."""
    match operation:
        case "container.create":
            mounts, field = body["HostConfig"]["Mounts"], "HostConfig.Mounts"
        case "service.create" | "service.update" if body["TaskTemplate"]["ContainerSpec"]:
            mounts = map(task_mount, body["TaskTemplate"]["ContainerSpec"]["Mounts"])
            field = "TaskTemplate.ContainerSpec.Mounts"
        case _:
            return
    for i, mount in enumerate(mounts):
        if mount["Type"] == "volume" and mount["Source"] and _has_options(mount):
            yield _reference("volume", mount["Source"], f"{field}[{i}].Source", by_id=False)


def _has_options(mount: Any) -> bool:
    driver = (mount["VolumeOptions"] or {}).get("DriverConfig")
    return driver is not None and bool(driver["Options"])


def _in_list(query: Mapping[str, tuple[str, ...]]) -> Iterator[Reference]:
    """The containers that a list begins or ends at: an error tells whether they are there."""
    filters = read_filters(query)
    for key in ("before", "since"):
        for value in filters.get(key, []):
            yield _reference("container", value, "query.filters")
        if first(query, key):
            yield _reference("container", first(query, key), f"query.{key}")


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
    yield from _in_parts(operation, body)


def _in_parts(operation: str, body: Any) -> Iterator[Reference]:
    match operation:
        case "service.create" | "service.update":
            yield from _of_service(body["TaskTemplate"]["ContainerSpec"])
        case "network.create" if body["ConfigFrom"] and body["ConfigFrom"]["Network"]:
            yield _reference("network", body["ConfigFrom"]["Network"], "ConfigFrom.Network")
        case "volume.create" if body["ClusterVolumeSpec"]:
            yield from _of_cluster_volume(body["ClusterVolumeSpec"], "ClusterVolumeSpec")
        case "volume.update" if body["Spec"]:
            yield from _of_cluster_volume(body["Spec"], "Spec")


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


def _of_cluster_volume(spec: Any, field: str) -> Iterator[Reference]:
    for i, secret in enumerate(spec["Secrets"]):
        yield _reference("secret", secret["Secret"], f"{field}.Secrets[{i}].Secret")


def _reference(
    kind: str, name: str, field: str, use: Literal["make", "use"] = "use", *, by_id: bool = True
) -> Reference:
    """``by_id`` is False where dockerd looks for names alone."""
    name = name.removeprefix("/")
    return Reference(
        kind, name, use, is_whole_id(kind, name), by_id and may_be_id(kind, name), field
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is given twice")
    return made


def _values(values: Any) -> list[str]:
    """Lists hold values, maps have them as keys: also those that are set to false count."""
    if isinstance(values, dict):
        return list(values)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
