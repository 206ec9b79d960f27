"""Every Docker object that a request creates or names, and the filters of a list.

Sources: moby 28.5.2 ``daemon/container.go`` (a leading slash is not part of a name),
``api/types/filters/parse.go`` (FromJSON: lists, or maps to Booleans, which MatchKVList and Get
ignore), ``daemon/list.go`` (the filters before and since name containers),
``daemon/cluster/utils.go`` (convertKVStringsToMap: of several values for one label the last one
counts, and their order is that of a Go map).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from authz_plugin.dockerd.confinement import Namespace
from authz_plugin.dockerd.connections import Endpoint
from authz_plugin.dockerd.ids import is_whole_id, may_be_id
from authz_plugin.dockerd.mounts import Mount, task_mount
from authz_plugin.dockerd.parts import Parts, Query, first

_KINDS: Final = frozenset({"config", "container", "network", "secret", "service", "volume"})


class Reference(NamedTuple):
    """An object that a request creates (``use`` is ``make``) or uses (``use``).

    ``name`` is without a leading slash; empty for an object that is created with a random
    name. ``full_id`` is true if it is a complete id of its kind, ``may_be_id`` if dockerd may take
    it for an id or the beginning of one.
    """

    kind: str
    name: str
    use: Literal["make", "use"]
    full_id: bool
    may_be_id: bool
    field: str


class LabelFilter(NamedTuple):
    """A label that a list is filtered by. ``value`` is None if any value matches; ``excluded`` says
    that the listed objects must not have the label (``label!``)."""

    name: str
    value: str | None
    excluded: bool


class Found(NamedTuple):
    """Facts, already read from the same request, that references are derived from."""

    mounts: tuple[Mount, ...]
    namespaces: tuple[Namespace, ...]
    endpoints: tuple[Endpoint, ...]
    filters: Mapping[str, list[str]]


def of_path(parts: Parts, _: Found) -> Iterator[Reference]:
    """The object that the path names."""
    if parts.kind in _KINDS:
        yield _reference(parts.kind, parts.ref, "path")


def of_container(parts: Parts, found: Found) -> Iterator[Reference]:
    """The new container, and the containers and volumes that it uses; the networks that it joins
    are endpoints."""
    yield _reference("container", first(parts.query, "name"), "query.name", "make")
    host_config = parts.body["HostConfig"]
    for i, source in enumerate(host_config["VolumesFrom"]):
        yield _reference("container", source.partition(":")[0], f"HostConfig.VolumesFrom[{i}]")
    yield from _volumes(found, host_config["Mounts"], "HostConfig.Mounts")
    yield from _containers(found)


def of_rename(parts: Parts, found: Found) -> Iterator[Reference]:
    """The new name of the container in the path."""
    yield _reference("container", first(parts.query, "name"), "query.name", "make")
    yield from of_path(parts, found)


def of_commit(parts: Parts, _: Found) -> Iterator[Reference]:
    """The container in the query parameter ``container``."""
    yield _reference("container", first(parts.query, "container"), "query.container")


def of_list(parts: Parts, found: Found) -> Iterator[Reference]:
    """The containers that a list begins or ends at; dockerd's answer reveals if they exist."""
    for key in ("before", "since"):
        for value in found.filters.get(key, []):
            yield _reference("container", value, "query.filters")
        if first(parts.query, key):
            yield _reference("container", first(parts.query, key), f"query.{key}")


def of_network(parts: Parts, _: Found) -> Iterator[Reference]:
    """The new network, and the network whose configuration it takes."""
    yield _reference("network", parts.body["Name"], "Name", "make")
    source = parts.body["ConfigFrom"]
    if source and source["Network"]:
        yield _reference("network", source["Network"], "ConfigFrom.Network")


def of_connect(parts: Parts, found: Found) -> Iterator[Reference]:
    """The container that is connected, and those that it is linked to; the network in the path is
    an endpoint."""
    yield _reference("container", parts.body["Container"], "Container")
    yield from _containers(found)


def of_disconnect(parts: Parts, found: Found) -> Iterator[Reference]:
    """The container that is disconnected, and the network in the path."""
    yield _reference("container", parts.body["Container"], "Container")
    yield from of_path(parts, found)


def of_new_service(parts: Parts, found: Found) -> Iterator[Reference]:
    """The new service, and the secrets, configs, volumes and containers that it uses."""
    yield _reference("service", parts.body["Name"], "Name", "make")
    yield from _of_tasks(parts, found)


def of_service(parts: Parts, found: Found) -> Iterator[Reference]:
    """The changed service, by the name in the body and by the path, and the objects it uses."""
    yield _reference("service", parts.body["Name"], "Name")
    yield from _of_tasks(parts, found)


def of_new_volume(parts: Parts, _: Found) -> Iterator[Reference]:
    """The new volume, and the secrets that a cluster volume uses."""
    yield _reference("volume", parts.body["Name"], "Name", "make")
    yield from _of_cluster_volume(parts.body["ClusterVolumeSpec"], "ClusterVolumeSpec")


def of_volume(parts: Parts, found: Found) -> Iterator[Reference]:
    """The secrets that a changed cluster volume uses, and the volume in the path."""
    yield from _of_cluster_volume(parts.body["Spec"], "Spec")
    yield from of_path(parts, found)


def of_new_config(parts: Parts, _: Found) -> Iterator[Reference]:
    """The new config."""
    yield _reference("config", parts.body["Name"], "Name", "make")


def of_new_secret(parts: Parts, _: Found) -> Iterator[Reference]:
    """The new secret."""
    yield _reference("secret", parts.body["Name"], "Name", "make")


def read_filters(query: Query) -> dict[str, list[str]]:
    """The filters of a list, each with its values; empty if they are not valid JSON for dockerd."""
    text = first(query, "filters")
    if not text:
        return {}
    try:
        filters = json.loads(text, object_pairs_hook=_unique)
        json.dumps(filters, ensure_ascii=False).encode()  # fails on a lone surrogate
    except (ValueError, RecursionError):
        return {}
    if not isinstance(filters, dict):
        return {}
    return {name: _values(values) for name, values in filters.items()}


def read_label_filters(filters: Mapping[str, list[str]]) -> list[LabelFilter]:
    """The label filters of a list in the order given, ``label`` before ``label!``."""
    found = []
    for key, excluded in (("label", False), ("label!", True)):
        for text in filters.get(key, []):
            name, equals, value = text.partition("=")
            found.append(LabelFilter(name, value if equals else None, excluded))
    return found


def _of_tasks(parts: Parts, found: Found) -> Iterator[Reference]:
    spec = parts.body["TaskTemplate"]["ContainerSpec"]
    yield from _of_service(spec)
    yield from of_path(parts, found)
    mounts = map(task_mount, spec["Mounts"]) if spec is not None else ()
    yield from _volumes(found, mounts, "TaskTemplate.ContainerSpec.Mounts")
    yield from _containers(found)


def _volumes(found: Found, mounts: Iterable[Any], field: str) -> Iterator[Reference]:
    """The volumes that mounts name.

    ``mounts`` are those of the body at ``field``. A volume whose driver options bind a path has the
    type ``bind`` in ``found``, but if a volume of its name exists, dockerd uses that and ignores
    the options (moby 28.5.2 ``volume/service/store.go`` create).
    """
    named = [
        _reference("volume", mount.source, mount.field, by_id=False)
        for mount in found.mounts
        if mount.type in {"volume", "cluster"} and mount.source
    ]
    yield from named
    names = {reference.name for reference in named}
    for i, mount in enumerate(mounts):
        if mount["Type"] == "volume" and mount["Source"] and _has_options(mount):
            volume = _reference("volume", mount["Source"], f"{field}[{i}].Source", by_id=False)
            if volume.name not in names:
                yield volume


def _containers(found: Found) -> Iterator[Reference]:
    """The containers whose namespaces are shared, and those that links name."""
    for namespace in found.namespaces:
        if namespace.container is not None:
            yield _reference("container", namespace.container, namespace.field)
    for endpoint in found.endpoints:
        for link in endpoint.links:
            yield _reference("container", link.partition(":")[0], endpoint.field)


def _has_options(mount: Any) -> bool:
    driver = (mount["VolumeOptions"] or {}).get("DriverConfig")
    return driver is not None and bool(driver["Options"])


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
    for i, secret in enumerate((spec or {"Secrets": []})["Secrets"]):
        yield _reference("secret", secret["Secret"], f"{field}.Secrets[{i}].Secret")


def _reference(
    kind: str, name: str, field: str, use: Literal["make", "use"] = "use", *, by_id: bool = True
) -> Reference:
    """``by_id`` is False if dockerd looks the object up by name only."""
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
    """The strings of a list, or the keys of a map, including those whose value is false."""
    if isinstance(values, dict):
        return list(values)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
