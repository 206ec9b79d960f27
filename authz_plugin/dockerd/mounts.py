"""Every way in which a request reaches a path of the host or a volume, as one list.

dockerd mounts host paths for Binds, for Mounts of type bind, for local volumes whose driver
options are a bind (or any other mount) in disguise, in containers and in services; checkpoints
name host directories. Sources: moby 28.5.2 ``volume/mounts/linux_parser.go`` (ParseMountRaw),
``volume/local/local_unix.go`` (any ``type`` with ``o=bind`` is a bind, the kernel ignores it),
``daemon/checkpoint.go``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authz_plugin.dockerd.gojson import entry

_PROPAGATIONS: Final = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_LOCAL: Final = frozenset({"", "local"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount, volume or host directory that a request asks for.

    ``type`` is dockerd's (bind, volume, tmpfs, image, npipe, cluster) except that a local volume
    that binds a host path is a ``bind``; ``field`` says where it stands in the request;
    ``source`` is as written; ``path`` is the host path it names, lexically clean, or None where it
    names none for certain; ``propagation`` is empty where dockerd's default applies; ``driver``
    and ``options`` are the volume driver's.
    """

    type: str
    field: str
    source: str = ""
    path: str | None = None
    target: str = ""
    read_only: bool = False
    propagation: str = ""
    driver: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_mounts(operation: str, body: Any, query: Mapping[str, tuple[str, ...]]) -> list[Mount]:
    """All mounts of a request, given its operation id, canonical body and query."""
    found: Iterator[Mount] = iter(())
    match operation:
        case "container.create":
            found = _of_container(body)
        case "service.create" | "service.update":
            found = _of_service(body)
        case "volume.create":
            found = _of_volume(body)
        case "container.checkpoint.create":
            found = _directory(body["CheckpointDir"], "CheckpointDir")
        case "container.checkpoint.list" | "container.checkpoint.remove":
            found = _directory(_first(query, "dir"), "query.dir")
        case "container.start":
            found = _directory(_first(query, "checkpoint-dir"), "query.checkpoint-dir")
    return list(found)


def clean(path: str) -> str | None:
    """The path as Go's ``path.Clean`` has it, or None if it is not absolute."""
    if not path.startswith("/"):
        return None
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in {"", "."}:
            kept.append(part)
    return "/" + "/".join(kept)


def task_mount(mount: Any) -> Any:
    """A service's mount as its tasks get it: type and propagation in any case, a bind by default
    (moby 28.5.2 ``daemon/cluster/convert/container.go``)."""
    options = mount["BindOptions"]
    if options is not None:
        options = {**options, "Propagation": options["Propagation"].lower()}
    return {**mount, "Type": mount["Type"].lower() or "bind", "BindOptions": options}


def _of_container(body: Any) -> Iterator[Mount]:
    host_config = body["HostConfig"]
    driver = host_config["VolumeDriver"]
    for i, bind in enumerate(host_config["Binds"]):
        yield _bind(bind, driver, f"HostConfig.Binds[{i}]")
    for i, mount in enumerate(host_config["Mounts"]):
        yield _mount(mount, f"HostConfig.Mounts[{i}]")
    for target, options in host_config["Tmpfs"].items():
        yield Mount(
            type="tmpfs",
            field=entry("HostConfig.Tmpfs", target),
            target=target,
            read_only=_is_read_only(options.split(",")),
            options={"o": options},
        )
    for target in body["Volumes"]:
        yield Mount(type="volume", field=entry("Volumes", target), target=target, driver=driver)


def _of_service(body: Any) -> Iterator[Mount]:
    spec = body["TaskTemplate"]["ContainerSpec"]
    if spec is not None:
        for i, mount in enumerate(spec["Mounts"]):
            yield _mount(task_mount(mount), f"TaskTemplate.ContainerSpec.Mounts[{i}]")


def _of_volume(body: Any) -> Iterator[Mount]:
    options = body["DriverOpts"]
    yield _volume(
        Mount(
            type="cluster" if _is_cluster(body) else "volume",
            field="DriverOpts" if options else "Name",
            source=body["Name"],
            driver=body["Driver"],
            options=options,
        )
    )


def _is_cluster(body: Any) -> bool:
    """Engines before 23.0 and API versions below 1.42 pass ClusterVolumeSpec over."""
    return body["ClusterVolumeSpec"] is not None and body["Driver"] not in _LOCAL


def _bind(bind: str, volume_driver: str, field: str) -> Mount:
    """``source:target[:mode]``, or ``target`` alone for an anonymous volume."""
    source, _, rest = bind.partition(":")
    target, _, mode = rest.partition(":")
    if not rest:
        source, target = "", source
    is_path = source.startswith("/")
    flags = mode.split(",")
    return Mount(
        type="bind" if is_path else "volume",
        field=field,
        source=source,
        path=clean(source),
        target=target,
        read_only=_is_read_only(flags),
        propagation=_propagation(flags),
        driver="" if is_path else volume_driver,
    )


def _mount(mount: Any, field: str) -> Mount:
    kind, source = mount["Type"], mount["Source"]
    if kind != "volume":
        return Mount(
            type=kind,
            field=field,
            source=source,
            path=clean(source) if kind == "bind" else None,
            target=mount["Target"],
            read_only=mount["ReadOnly"],
            propagation=(mount["BindOptions"] or {}).get("Propagation", ""),
        )
    driver = (mount["VolumeOptions"] or {}).get("DriverConfig") or {"Name": "", "Options": {}}
    return _volume(
        Mount(
            type=kind,
            field=f"{field}.VolumeOptions.DriverConfig" if driver["Options"] else field,
            source=source,
            target=mount["Target"],
            read_only=mount["ReadOnly"],
            driver=driver["Name"],
            options=driver["Options"],
        )
    )


def _volume(volume: Mount) -> Mount:
    """A volume with what its driver options add: a path, flags, or that it is really a bind."""
    if volume.driver not in _LOCAL:
        return volume
    flags = volume.options.get("o", "").split(",")
    device = volume.options.get("device", "")
    is_bind = not {"bind", "rbind"}.isdisjoint(flags)
    return dataclasses.replace(
        volume,
        type="bind" if is_bind else volume.type,
        source=device if is_bind else volume.source,
        path=None if is_bind and _climbs(device) else clean(device),
        read_only=volume.read_only or _is_read_only(flags),
        propagation=_propagation(flags),
    )


def _climbs(path: str) -> bool:
    """Whether ``..`` makes a path depend on links: the kernel gets a device as it was written,
    while dockerd cleans every other path lexically before it follows links."""
    return ".." in path.split("/")


def _directory(path: str, field: str) -> Iterator[Mount]:
    if path:
        yield Mount(type="bind", field=field, source=path, path=clean(path))


def _first(query: Mapping[str, tuple[str, ...]], name: str) -> str:
    return query.get(name, ("",))[0]


def _is_read_only(flags: list[str]) -> bool:
    """Whether ``ro`` is the last word of ``ro`` and ``rw``, as for mount(8)."""
    return next((flag == "ro" for flag in reversed(flags) if flag in {"ro", "rw"}), False)


def _propagation(flags: list[str]) -> str:
    return next((flag for flag in flags if flag in _PROPAGATIONS), "")
